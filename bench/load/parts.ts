// A bench of several parts, and the table of what they measured.
export interface Figure {
  readonly name: string;
  readonly wanted: string;
  readonly measured: string;
}

/** Runs the parts that the command line names, or all, and ends the process. */
export async function runParts(parts: Readonly<Record<string, () => Promise<Figure[]>>>): Promise<never> {
  const asked = process.argv.slice(2);
  const figures: Figure[] = [];
  for (const [name, part] of Object.entries(parts)) {
    if (asked.length > 0 && !asked.includes(name)) continue;
    console.log(`  -- ${name}`);
    figures.push(...(await part()));
  }
  const widest = Math.max(...figures.map(({ name }) => name.length));
  console.log(`\n  ${'figure'.padEnd(widest)}  wanted    measured`);
  for (const { name, wanted, measured } of figures) {
    console.log(`  ${name.padEnd(widest)}  ${wanted.padEnd(8)}  ${measured}`);
  }
  for (const { name, measured } of figures) console.log(`FIGURE ${name} ${measured.replaceAll(', ', '/')}`);
  process.exit();
}
