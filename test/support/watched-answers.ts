import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http } from '../../src/api/http.ts';
import { type Answered, type AnswerRules, makeAnswerRules, said } from './answer-rules.ts';

/** The rules by the server's own OpenAPI document. The server has to be ready. */
export function rulesOf(http: Http): AnswerRules {
  return makeAnswerRules(JSON.parse(JSON.stringify(http.swagger())));
}

/** An answer of `http.inject`. */
export function injected(
  { method, path }: Pick<Answered, 'method' | 'path'>,
  { statusCode, headers, body }: { statusCode: number; headers: object; body: string },
): Answered {
  const header = (name: string): string | null => {
    const value: unknown = Reflect.get(headers, name);
    return value === undefined ? null : String(value);
  };
  return { method, path, status: statusCode, header, text: body };
}

export interface WatchedAnswers {
  /** Instead of `http.routing`. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Throws when any answer so far broke a rule. */
  assertGood(): void;
}

/** Every answer of this server is held against its own OpenAPI document, whichever test asked for it. */
export function watchAnswers(http: Http): WatchedAnswers {
  const wrong = new Set<string>();
  let rules: AnswerRules | null = null;
  const check = (answered: Answered): void => {
    rules ??= rulesOf(http);
    const problems = rules(answered);
    if (problems.length > 0) wrong.add(said(answered, problems));
  };
  return {
    handle(request, response) {
      const chunks: Buffer[] = [];
      const keep = (chunk: unknown): void => {
        if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
      };
      const { write, end, writeHead } = response;
      const heads: unknown[] = [];
      Object.assign(response, {
        writeHead: (...given: unknown[]) => {
          heads.push(given.at(-1));
          return Reflect.apply(writeHead, response, given);
        },
        write: (...given: unknown[]) => {
          keep(given[0]);
          return Reflect.apply(write, response, given);
        },
        end: (...given: unknown[]) => {
          keep(given[0]);
          return Reflect.apply(end, response, given);
        },
      });
      const { method = '', url = '' } = request;
      response.once('finish', () => {
        const header = (name: string): string | null => {
          const value: unknown =
            response.getHeader(name) ?? heads.map((head) => Reflect.get(Object(head), name)).at(-1);
          return value === undefined ? null : String(value);
        };
        const text = Buffer.concat(chunks).toString('utf8');
        check({ method, path: url, status: response.statusCode, header, text });
      });
      http.routing(request, response);
    },
    assertGood() {
      assert.deepEqual([...wrong], [], 'answers that are not as they have to be');
    },
  };
}
