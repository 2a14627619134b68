// Speed of the rewriter (links and pixel) as a ratio to parse5's tokenizer alone over the same mails, and the time of
// the worst short input. Usage: node dist/bench/rewrite.js
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer, TokenizerMode } from 'parse5';
import { type RewriteOptions, type RewriteTarget, rewrite } from '../src/send/rewrite.ts';

const ROUNDS = 31;
// Per round, so that one side's caches and garbage weigh less on the other.
const REPEATS = 4;
const ATTACK_ROUNDS = 7;

const corpus = join(import.meta.dirname, '../../bench/corpus');
const mails = readdirSync(corpus)
  .filter((file) => file.endsWith('.html'))
  .map((file) => readFileSync(join(corpus, file), 'utf8'));
const characters = mails.reduce((sum, mail) => sum + mail.length, 0);

const options: RewriteOptions = {
  links: true,
  opens: true,
  linkSchemes: ['https', 'mailto', 'tel'],
  secretParameters: [],
};

const token = 'A'.repeat(72);
const target: RewriteTarget = {
  linkUrl: (index) => `https://t.telltale.example/c/${token}${index}`,
  pixelUrl: () => `https://t.telltale.example/o/${token}.gif`,
  unwrap: (url) => (url.startsWith('https://t.telltale.example/c/') ? 'https://notes.example/draft' : null),
  isOwnPixel: (url) => url.startsWith('https://t.telltale.example/o/'),
};

let links = 0;
function rewriteAll(): void {
  for (const mail of mails) {
    const result = rewrite(mail, options, target);
    links += result.kind === 'rewritten' ? result.links.length : result.count;
  }
}

const RAW_TEXT: Readonly<Record<string, (typeof TokenizerMode)[keyof typeof TokenizerMode]>> = {
  title: TokenizerMode.RCDATA,
  textarea: TokenizerMode.RCDATA,
  style: TokenizerMode.RAWTEXT,
  script: TokenizerMode.SCRIPT_DATA,
};

const ignore = (): void => {};
function tokenizeAll(): void {
  for (const mail of mails) {
    const tokenizer: Tokenizer = new Tokenizer(
      { sourceCodeLocationInfo: true },
      {
        onStartTag: (tag) => {
          tokenizer.state = RAW_TEXT[tag.tagName] ?? tokenizer.state;
          if (tag.tagName === 'a') links += tag.attrs.length;
        },
        onEndTag: ignore,
        onComment: ignore,
        onDoctype: ignore,
        onEof: ignore,
        onCharacter: ignore,
        onNullCharacter: ignore,
        onWhitespaceCharacter: ignore,
        onParseError: null,
      },
    );
    tokenizer.write(mail, true);
  }
}

function seconds(work: () => void): number {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

function repeat(work: () => void): void {
  for (let i = 0; i < REPEATS; i++) work();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

for (let i = 0; i < 5; i++) {
  rewriteAll();
  tokenizeAll();
}
const ours: number[] = [];
const theirs: number[] = [];
for (let i = 0; i < ROUNDS; i++) {
  ours.push(seconds(() => repeat(rewriteAll)) / REPEATS);
  theirs.push(seconds(() => repeat(tokenizeAll)) / REPEATS);
}
const ratio = median(theirs) / median(ours);
const speed = (time: number): string => `${(characters / 1e6 / time).toFixed(0)} MB/s`;

const attack = '<a '.repeat(350_000);
const attackTime = median(Array.from({ length: ATTACK_ROUNDS }, () => seconds(() => rewrite(attack, options, target))));

console.log(
  `${mails.length} mails, ${characters} characters, median of ${ROUNDS} interleaved rounds (${links} links seen)`,
);
console.log(`rewrite ${speed(median(ours))}, parse5 tokenizer ${speed(median(theirs))}`);
console.log(`1 MB of "<a " took ${attackTime.toFixed(4)} s`);
console.log(`FIGURE rewriting_vs_parse5_tokenizer ${ratio.toFixed(2)}`);
console.log(`FIGURE rewriting_attack_seconds ${attackTime.toFixed(4)}`);
