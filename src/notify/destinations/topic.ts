// Names of Pub/Sub topics, by Google's rules for resource names and project ids.

export interface Topic {
  readonly project: string;
  readonly name: string;
}

const FORM = /^projects\/([^/]+)\/topics\/([^/]+)$/;
// 6 to 30 characters where Google gives one out; an emulator takes shorter ones. A number names a project too.
const PROJECT = /^(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+:)?[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?$|^[0-9]{1,20}$/;
const LONGEST = 255;
const SHORTEST = 3;

/** `problem` continues "the topic …". */
export function parseTopic(text: string): Topic | { readonly problem: string } {
  const [, project, name] = FORM.exec(text) ?? [];
  if (project === undefined || name === undefined) {
    return { problem: 'must have the form projects/<project id>/topics/<topic id>' };
  }
  if (!PROJECT.test(project)) {
    return {
      problem:
        'names no project: a project id has at most 30 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen',
    };
  }
  const rule = brokenRule(name);
  return rule === null ? { project, name } : { problem: `has a topic id that ${rule}` };
}

function brokenRule(name: string): string | null {
  if (name.length < SHORTEST || name.length > LONGEST) return `does not have ${SHORTEST} to ${LONGEST} characters`;
  if (!/^[A-Za-z]/.test(name)) return 'does not begin with a letter';
  if (name.startsWith('goog')) return 'begins with goog, which Google keeps for itself';
  return /^[\w.~+%-]+$/.test(name) ? null : 'has other characters than letters, digits and - _ . ~ + %';
}

/** As a path below `/v1/` (google.api.http: of a variable's value only unreserved characters stand for themselves). */
export function pathOf({ project, name }: Topic): string {
  return `projects/${encodeURIComponent(project)}/topics/${encodeURIComponent(name)}`;
}
