/** How often a watched mailbox is looked at. Milliseconds. */
export interface Tempo {
  /** Between two looks at the folders; each is up to a fifth longer or shorter. */
  readonly pollMs: number;
  /** The same where the server tells nothing by itself. */
  readonly mutePollMs: number;
  /** Without a byte from the server while it is asked something. */
  readonly silenceMs: number;
  /** Between two looks at which folders there are. */
  readonly listMs: number;
  /** Between two looks into the folder in which news are waited for, whether or not the server tells of any. */
  readonly sureMs: number;
  /** After so long without a mail it is said how far the reading came. */
  readonly turnMs: number;
  /** A mail that the server does not give is asked for again. */
  readonly patienceMs: number;
}

export const TEMPO: Tempo = {
  pollMs: 60_000,
  mutePollMs: 17_500,
  silenceMs: 30_000,
  listMs: 600_000,
  sureMs: 600_000,
  turnMs: 20_000,
  patienceMs: 600_000,
};
