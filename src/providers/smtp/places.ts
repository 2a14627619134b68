// Whose turn it is at a mailbox: a few connections each, kept open for a while between mails.

/** A connection as far as it is waited for, kept and ended here. */
export interface Kept {
  alive(): boolean;
  /** Whether it has been used long enough. */
  worn(): boolean;
  /** Set while it is kept. */
  whenLost(tell: (() => void) | null): void;
  rest(): void;
  leave(): Promise<void>;
  /** Only a caller with the same one may use it. */
  readonly secret: string;
}

/** The right to have one connection. */
export interface Place<C> {
  /** One that was kept; null: open one. It may have died unnoticed. */
  readonly kept: C | null;
  /** Once. A connection that is given back may be kept for the next; null for none. */
  giveBack(connection: C | null): void;
}

export interface Places<C> {
  /** In the order of asking; null when `signal` aborts first or everything is closed. */
  take(mailbox: string, secret: string, signal: AbortSignal): Promise<Place<C> | null>;
  /** Mailboxes that have a connection or somebody waiting. */
  readonly mailboxes: number;
  /** Turns away who waits; resolves once every place is given back and every connection has been left. */
  close(): Promise<void>;
}

export interface PlacesLimits {
  /** At a mailbox at once. */
  readonly connections: number;
  /** Kept at all mailboxes together; beyond, the oldest goes. */
  readonly kept: number;
  readonly idleMs: number;
}

interface Idle<C> {
  readonly connection: C;
  readonly timer: NodeJS.Timeout;
  expire(): void;
}

interface Waiter<C> {
  readonly secret: string;
  readonly answer: (place: Place<C> | null) => void;
}

interface Mailbox<C> {
  readonly name: string;
  /** Places given out, connections kept and connections being left. */
  open: number;
  readonly idle: Idle<C>[];
  readonly waiting: Set<Waiter<C>>;
}

export function makePlaces<C extends Kept>({ connections, kept, idleMs }: PlacesLimits): Places<C> {
  const mailboxes = new Map<string, Mailbox<C>>();
  const all = new Set<Idle<C>>(); // oldest first
  const whenEmpty: (() => void)[] = [];
  let closed = false;

  const place = (mailbox: Mailbox<C>, connection: C | null): Place<C> => ({
    kept: connection,
    giveBack(back) {
      if (back === null || !back.alive()) return free(mailbox);
      const next = first(mailbox.waiting);
      if (closed || back.worn() || (next !== undefined && next.secret !== back.secret)) return leave(mailbox, back);
      if (next === undefined) return keep(mailbox, back);
      mailbox.waiting.delete(next);
      next.answer(place(mailbox, back));
    },
  });

  const free = (mailbox: Mailbox<C>): void => {
    const next = first(mailbox.waiting);
    if (next !== undefined) {
      mailbox.waiting.delete(next);
      next.answer(place(mailbox, null));
      return;
    }
    mailbox.open--;
    if (mailbox.open > 0) return;
    mailboxes.delete(mailbox.name);
    if (mailboxes.size === 0) for (const tell of whenEmpty.splice(0)) tell();
  };

  const leave = (mailbox: Mailbox<C>, connection: C): void => {
    void connection.leave().finally(() => free(mailbox));
  };

  const keep = (mailbox: Mailbox<C>, connection: C): void => {
    connection.rest();
    const expire = (): void => {
      unkeep(mailbox, idle);
      leave(mailbox, connection);
    };
    const idle: Idle<C> = { connection, timer: setTimeout(expire, idleMs).unref(), expire };
    mailbox.idle.push(idle);
    all.add(idle);
    connection.whenLost(() => {
      unkeep(mailbox, idle);
      free(mailbox);
    });
    if (all.size > kept) first(all)?.expire();
  };

  const unkeep = (mailbox: Mailbox<C>, idle: Idle<C>): void => {
    clearTimeout(idle.timer);
    idle.connection.whenLost(null);
    all.delete(idle);
    mailbox.idle.splice(mailbox.idle.indexOf(idle), 1);
  };

  /** The one used last, so that the others grow old. Of somebody else's, the oldest goes where it stands in the way. */
  const pick = (mailbox: Mailbox<C>, secret: string): C | null => {
    const found = mailbox.idle.findLast(({ connection }) => connection.secret === secret && connection.alive());
    if (found === undefined) {
      if (mailbox.open >= connections) mailbox.idle[0]?.expire();
      return null;
    }
    unkeep(mailbox, found);
    return found.connection;
  };

  return {
    get mailboxes() {
      return mailboxes.size;
    },

    async take(name, secret, signal) {
      if (closed || signal.aborted) return null;
      const mailbox = mailboxes.get(name) ?? { name, open: 0, idle: [], waiting: new Set() };
      mailboxes.set(name, mailbox);
      if (mailbox.waiting.size === 0) {
        const found = pick(mailbox, secret);
        if (found !== null) return place(mailbox, found);
        if (mailbox.open < connections) {
          mailbox.open++;
          return place(mailbox, null);
        }
      }
      return new Promise((resolve) => {
        const onAbort = (): void => {
          mailbox.waiting.delete(waiter);
          resolve(null);
        };
        const waiter: Waiter<C> = {
          secret,
          answer: (given) => {
            signal.removeEventListener('abort', onAbort);
            resolve(given);
          },
        };
        signal.addEventListener('abort', onAbort, { once: true });
        mailbox.waiting.add(waiter);
      });
    },

    async close() {
      closed = true;
      for (const mailbox of [...mailboxes.values()]) {
        for (const { answer } of mailbox.waiting) answer(null);
        mailbox.waiting.clear();
        for (const idle of [...mailbox.idle]) idle.expire();
      }
      if (mailboxes.size > 0) await new Promise<void>((resolve) => whenEmpty.push(resolve));
    },
  };
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  return set.values().next().value;
}
