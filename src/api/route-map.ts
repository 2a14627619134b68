/** Which methods a path knows, to tell a wrong method (405) from a wrong path (404). */
export interface RouteMap {
  add(methods: readonly string[], pattern: string): void;
  /** Sorted; empty for an unknown path. */
  methodsFor(url: string): readonly string[];
}

export function makeRouteMap(): RouteMap {
  const routes = new Map<string, { readonly steps: readonly string[]; readonly methods: Set<string> }>();
  return {
    add(methods, pattern) {
      const route = routes.get(pattern) ?? { steps: stepsOf(pattern), methods: new Set<string>() };
      for (const method of methods) route.methods.add(method);
      routes.set(pattern, route);
    },
    methodsFor(url) {
      const asked = stepsOf(url.split('?', 1)[0] ?? '');
      const fitting = [...routes.values()].filter(({ steps }) => fits(steps, asked));
      return [...new Set(fitting.flatMap(({ methods }) => [...methods]))].sort();
    },
  };
}

/** Empty steps count, but for one trailing slash: as the router matches. */
function stepsOf(path: string): readonly string[] {
  return path.replace(/(?<=.)\/$/, '').split('/');
}

function fits(pattern: readonly string[], asked: readonly string[]): boolean {
  return (
    pattern.length === asked.length &&
    pattern.every((step, index) => step === asked[index] || (step.startsWith(':') && asked[index] !== ''))
  );
}
