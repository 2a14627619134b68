// A bench and the processes that it starts talk in questions and answers, one after the other.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Child {
  /** Rejects where the child has no answer. */
  ask(question: string, about?: unknown): Promise<unknown>;
  end(): void;
}

/** Runs a program of this folder. What it writes to standard error goes nowhere, as cheaply as a log collector takes it. */
export function startChild(program: string, about: unknown = null): Child {
  const child = fork(fileURLToPath(new URL(`${program}.js`, import.meta.url)), [JSON.stringify(about)], {
    stdio: ['ignore', 'inherit', 'ignore', 'ipc'],
    execArgv: ['--expose-gc', ...process.execArgv],
  });
  const asked: { resolve(answer: unknown): void; reject(error: Error): void }[] = [];
  child.on('message', (message) => {
    const { resolve, reject } = asked.shift() ?? {};
    const problem: unknown = Reflect.get(Object(message), 'problem');
    if (problem === undefined) resolve?.(Reflect.get(Object(message), 'answer'));
    else reject?.(new Error(`${program}: ${problem}`));
  });
  child.once('exit', (code) => {
    for (const { reject } of asked.splice(0)) reject(new Error(`${program} ended with ${code}`));
  });
  return {
    ask: (question, about) =>
      new Promise((resolve, reject) => {
        asked.push({ resolve, reject });
        child.send({ question, about });
      }),
    end: () => child.disconnect(),
  };
}

/** In the child: answers by name, and ends with its parent. */
export function answerParent(answers: Readonly<Record<string, (about: never) => unknown>>): void {
  let last: Promise<void> = Promise.resolve();
  process.on('message', ({ question, about }: { readonly question: string; readonly about: never }) => {
    last = last.then(async () => {
      try {
        process.send?.({ answer: await answers[question]?.(about) });
      } catch (error) {
        process.send?.({ problem: error instanceof Error ? error.stack : String(error) });
      }
    });
  });
  process.once('disconnect', () => process.exit());
}

/** Nanoseconds of a clock that all processes of the machine share. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint());
}
