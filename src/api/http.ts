// What every resource of the API shares: the server's type and who is calling.
import type { FastifyInstance } from 'fastify';
import type { ApplicationId, AppSerial } from '../ids.ts';

export type Http = FastifyInstance;
/** A resource: adds its routes to the server. */
export type Routes = (http: Http) => void;

/** The application whose API key came with the request. */
export interface Caller {
  readonly app: AppSerial;
  readonly applicationId: ApplicationId;
  readonly environment: 'production' | 'sandbox';
}

/** Who looks at the practice mailbox: an application by its API key, or the signed-in operator, who sees all (null). */
export interface PracticeCaller {
  readonly app: AppSerial | null;
}

/** Any Fastify request, whatever its route's types are. */
export interface AnyRequest {
  readonly raw: object;
}

const callers = new WeakMap<object, Caller | 'operator'>();

/** The authenticated application. Throws on a route whose guard is not the API key: a bug, answered as 500. */
export function caller(request: AnyRequest): Caller {
  const who = callers.get(request.raw);
  if (who === undefined || who === 'operator') throw new Error('this route did not ask for an API key');
  return who;
}

/** Throws on a route below no guard: a bug, answered as 500. */
export function practiceCaller(request: AnyRequest): PracticeCaller {
  const who = callers.get(request.raw);
  if (who === undefined) throw new Error('this route has no guard');
  return { app: who === 'operator' ? null : who.app };
}

/** For the guards alone. */
export function remember(request: AnyRequest, who: Caller | 'operator'): void {
  callers.set(request.raw, who);
}

/** The calling application's number for the log; null where there is none. */
export function appOf(request: AnyRequest): AppSerial | null {
  const who = callers.get(request.raw);
  return who === undefined || who === 'operator' ? null : who.app;
}
