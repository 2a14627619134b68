import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Answered, type AnswerRules, makeAnswerRules, said } from './answer-rules.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const READY_WITHIN_MS = 30_000;

/** A whole Telltale in a process of its own, as `npm start` runs it. */
export interface Service {
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly child: ChildProcess;
  /** What stands on standard output so far. */
  output(): string;
  /** What stands on standard error so far. */
  errors(): string;
  /** JSON lines of the log so far, parsed. */
  log(): Record<string, unknown>[];
  apiKey(): Promise<string>;
  grantId(): string;
  /** Calls the API with the service's own key. */
  api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Waits until /health answers 200. */
  ready(): Promise<void>;
  /** SIGTERM, and the exit code when it is gone. */
  stop(): Promise<number | null>;
  exited: Promise<number | null>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
  readonly text: string;
  /** The value at a path such as `data.0.id`. */
  at(path: string): unknown;
}

export interface ServiceOptions {
  readonly dataDir?: string;
  readonly port?: number;
  readonly env?: Record<string, string>;
  readonly args?: readonly string[];
  /** False: do not wait for /health. */
  readonly wait?: boolean;
}

export async function startService(options: ServiceOptions = {}): Promise<Service> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'telltale-test-')));
  const port = options.port ?? (await freePort());
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(TELLTALE_|DATABASE_URL$|PORT$|HOST$)/.test(name)),
  );
  const child = spawn(process.execPath, [MAIN, ...(options.args ?? [])], {
    env: { ...env, PORT: String(port), TELLTALE_DATA_DIR: dataDir, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const url = `http://127.0.0.1:${port}`;
  let rules: AnswerRules | null = null;

  const service: Service = {
    url,
    port,
    dataDir,
    child,
    exited,
    output: () => output,
    errors: () => errors,
    log: () =>
      errors
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line)),
    apiKey: async () => options.env?.TELLTALE_API_KEY ?? (await readFile(join(dataDir, 'api-key'), 'utf8')).trim(),
    grantId: () => /\/v3\/grants\/([0-9a-f-]{36})\//.exec(output)?.[1] ?? '',
    async api(method, path, body, headers) {
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${await service.apiKey()}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const { status } = response;
      const header = (name: string): string | null => response.headers.get(name);
      rules ??= await rulesOf(url);
      mustKeepTo(rules, { method, path, status, header, text });
      const answered: unknown =
        response.headers.get('content-type') === 'application/json' ? JSON.parse(text) : undefined;
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: answered,
        at: (where) => at(answered, where),
      };
    },
    async ready() {
      const deadline = Date.now() + READY_WITHIN_MS;
      for (;;) {
        const status = await fetch(`${url}/health`).then(
          (response) => response.status,
          () => 0,
        );
        if (status === 200 && output.includes('Telltale is ready')) return;
        if (child.exitCode !== null) throw new Error(`Telltale ended with ${child.exitCode}:\n${output}\n${errors}`);
        if (Date.now() > deadline) {
          child.kill('SIGKILL');
          throw new Error(`not ready in time:\n${output}\n${errors}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const code = await exited;
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
      return code;
    },
  };
  if (options.wait !== false) await service.ready();
  return service;
}

/** The value at a path such as `data.0.id`, or undefined. */
export function at(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((inner, key) => Reflect.get(Object(inner), key), value);
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Waits for a condition that something else brings about; fails with `what` after `forMs`. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined> | T | undefined,
  forMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + forMs;
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** By the service's own OpenAPI document; null while it cannot be had. */
async function rulesOf(url: string): Promise<AnswerRules | null> {
  try {
    const answer = await fetch(`${url}/openapi.json`);
    return answer.ok ? makeAnswerRules(JSON.parse(await answer.text())) : null;
  } catch {
    return null;
  }
}

function mustKeepTo(rules: AnswerRules | null, answered: Answered): void {
  const problems = (rules ?? makeAnswerRules(null))(answered);
  if (problems.length > 0) throw new Error(said(answered, problems));
}
