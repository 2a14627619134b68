// Commands to a server that imapflow connected to, logged in at and whose answers it takes apart. What imapflow keeps of a
// mailbox is not used: a FETCH of a part of some header fields cannot be said in its words.
import type { ImapFlow, ListResponse } from 'imapflow';
import type { ImapAttribute, ImapCompileNode, ImapResponse } from 'imapflow/lib/handler/types.js';
import { getTextValues } from 'imapflow/lib/tools.js';
import { type ImapFailure, readFailure } from './problem.ts';

/** What is done with untagged answers to a command, by their names. */
export type Heard = Readonly<Record<string, (said: ImapResponse) => unknown>>;

export interface Wire {
  readonly client: ImapFlow;
  /** What the server said last when it ended the connection; '' for nothing. */
  readonly bye: string;
  /** Mails in the selected folder. */
  count: number;
  /** Gives parts of header fields, as all should (RFC 3501 section 6.4.5). */
  knowsParts: boolean;
  /** Called when that number is another one than it was known to be. */
  onExists: () => void;
  /** Rejects with {@link Refused}, with {@link Silent}, or with what imapflow says about the connection's end. */
  run(command: string, attributes: readonly ImapCompileNode[], heard?: Heard): Promise<void>;
  /** The mailbox's folders. */
  list(): Promise<readonly ListResponse[]>;
  /** The next command must come after `end`. */
  idle(): Idling;
}

export interface Idling {
  /** Resolves when the server has ended it, by itself or asked to. Rejects as a command does. */
  readonly ended: Promise<void>;
  end(): void;
}

/** The server answered NO or BAD; the connection goes on. */
export class Refused extends Error {
  readonly failure: ImapFailure;

  constructor(failure: ImapFailure) {
    super(failure.text);
    this.failure = failure;
  }
}

/** The server stopped answering. */
export class Silent extends Error {}

/** The server made us wait before it refuses a command; for how long it asks to be left alone stays with imapflow. */
export class Throttled extends Error {}

/** However much it says meanwhile. */
const LONGEST_COMMAND_MS = 600_000;
const LOOKS_PER_SILENCE = 4;
const LONGEST_LOOK_MS = 1_000;
// What is said to one command lies in memory until it ends. Most is asked for of 500 heads, 32 MB, and of long bodies.
const MOST_SAID = 128 * 1024 * 1024;
/** 100,000 folders with long names. */
const MOST_LISTED = 16 * 1024 * 1024;

export function makeWire(client: ImapFlow, silenceMs: number): Wire {
  let bye = '';
  const always: Heard = {
    EXISTS(said) {
      const count = Number(said.command);
      const isNews = count !== wire.count;
      wire.count = count;
      if (isNews) wire.onExists();
    },
    EXPUNGE() {
      wire.count -= 1;
    },
    BYE(said) {
      bye = getTextValues(said.attributes).join(' ').trim() || 'without a reason';
      client.close();
    },
  };

  // A server may say such things also while it is asked nothing, or by imapflow.
  const between: unknown = Reflect.get(client, 'untaggedHandlers');
  if (typeof between !== 'object' || between === null) throw new Error('imapflow has no untaggedHandlers any more');
  Reflect.set(between, 'EXISTS', always.EXISTS);
  Reflect.set(between, 'EXPUNGE', always.EXPUNGE);

  /** Why the connection was closed here, whichever command was the one to find out. */
  let why: ((cause: unknown) => Error) | null = null;

  /** Closes the connection once nothing came for so long, or too much did. */
  const listen = (most: number): { stop(): void } => {
    const before = client.stats().received;
    const began = performance.now();
    let [received, quietSince] = [before, began];
    const close = (reason: (cause: unknown) => Error): void => {
      why ??= reason;
      client.close();
    };
    const timer = setInterval(
      () => {
        const now = performance.now();
        const sofar = client.stats().received;
        if (sofar !== received) [received, quietSince] = [sofar, now];
        if (sofar - before > most) close((cause) => new Error('the server said too much', { cause }));
        if (now - quietSince < silenceMs && now - began < LONGEST_COMMAND_MS) return;
        const isHeldBack = waitsForThrottling(client);
        close((cause) =>
          isHeldBack ? new Throttled('the server holds commands back', { cause }) : new Silent('no answer', { cause }),
        );
      },
      Math.min(silenceMs / LOOKS_PER_SILENCE, LONGEST_LOOK_MS),
    );
    return { stop: () => clearInterval(timer) };
  };

  const within = async <T>(work: () => Promise<T>, most = MOST_SAID): Promise<T> => {
    const listening = listen(most);
    try {
      return await work();
    } catch (error) {
      throw why?.(error) ?? asRefused(error) ?? error;
    } finally {
      listening.stop();
    }
  };

  const wire: Wire = {
    client,
    get bye() {
      return bye;
    },
    count: 0,
    knowsParts: true,
    onExists: () => {},
    list: () =>
      within(async () => {
        const listed = await client.list();
        const kept: unknown = Reflect.get(client, 'folders');
        if (kept instanceof Map) kept.clear(); // a kilobyte each, for as long as it is connected
        return listed;
      }, MOST_LISTED),
    run: (command, attributes, heard = {}) =>
      within(async () => {
        const { next } = await exec(client, command, attributes, { untagged: { ...always, ...heard } });
        next();
      }),
    idle() {
      let [isAsked, isOn] = [false, false];
      let listening: ReturnType<typeof listen> | null = listen(MOST_SAID); // until it is under way, and again once it is to end
      const done = (): void => {
        if (!isAsked || !isOn || !client.usable) return;
        try {
          write(client, 'DONE');
        } catch {
          client.close(); // the socket has gone, and imapflow is about to notice
        }
      };
      const ended = (async () => {
        try {
          const { next } = await exec(client, 'IDLE', [], {
            untagged: always,
            async onPlusTag() {
              isOn = true;
              if (isAsked) return done();
              listening?.stop();
              listening = null;
            },
          });
          next();
        } catch (error) {
          throw why?.(error) ?? asRefused(error) ?? error;
        } finally {
          listening?.stop();
          isOn = false;
        }
      })();
      ended.catch(() => {}); // may be asked for later
      return {
        ended,
        end() {
          if (isAsked) return;
          isAsked = true;
          if (isOn) listening = listen(MOST_SAID);
          done();
        },
      };
    },
  };
  return wire;
}

export function atom(value: string): ImapCompileNode {
  return { type: 'ATOM', value };
}

/** The text of a token; '' for one that is none. */
export function textOf(token: ImapAttribute | undefined): string {
  const value = Array.isArray(token) ? undefined : token?.value;
  return typeof value === 'string' || Buffer.isBuffer(value) ? value.toString() : '';
}

/** The name and value of a response code, as in `OK [UIDNEXT 7]`; null where there is none. */
export function codeOf({ attributes }: ImapResponse): { readonly name: string; readonly value: string } | null {
  const section = attributes?.[0]?.section;
  const name = textOf(section?.[0]);
  return name === '' ? null : { name: name.toUpperCase(), value: textOf(section?.[1]) };
}

/** imapflow keeps a refusal that names a time back for so long, up to five minutes; it looks like silence. */
function waitsForThrottling(client: ImapFlow): boolean {
  const waits: unknown = Reflect.get(client, '_throttleWaits');
  return waits instanceof Set && waits.size > 0;
}

function asRefused(error: unknown): Refused | null {
  const failure = readFailure(error);
  const throttled = error instanceof Error && Reflect.get(error, 'code') === 'ETHROTTLE';
  if (failure.status === '' || throttled || failure.atLogin) return null;
  const response: unknown = error instanceof Error ? Reflect.get(error, 'response') : null;
  const code = isResponse(response) ? (codeOf(response)?.name ?? '') : failure.code;
  return new Refused({ ...failure, code });
}

function isResponse(value: unknown): value is ImapResponse {
  return typeof value === 'object' && value !== null && 'attributes' in value && Array.isArray(value.attributes);
}

export interface ExecOptions {
  readonly untagged?: Heard;
  readonly onPlusTag?: () => Promise<void>;
}

export interface Answered {
  /** Lets the next command out. */
  next(): void;
}

/** Not in imapflow's types, and what its commands are made of. */
export function exec(
  client: ImapFlow,
  command: string,
  attributes: readonly ImapCompileNode[],
  options: ExecOptions,
): Promise<Answered> {
  return Reflect.apply(method(client, 'exec'), client, [
    command,
    attributes.length === 0 ? false : attributes,
    options,
  ]);
}

function write(client: ImapFlow, line: string): void {
  Reflect.apply(method(client, 'write'), client, [line]);
}

function method(client: ImapFlow, name: 'exec' | 'write'): CallableFunction {
  const found: unknown = Reflect.get(client, name);
  if (typeof found !== 'function') throw new Error(`imapflow has no ${name} any more`);
  return found;
}
