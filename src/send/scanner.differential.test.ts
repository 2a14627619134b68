// The scanner against parse5 on random input: its parser drives its tokenizer, so raw text, templates and foreign
// content are decided by a second implementation. SEED=… repeats a run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeHTMLAttribute } from 'entities';
import { type DefaultTreeAdapterMap, Parser, type Token } from 'parse5';
import { corpus, options, rewritten, seededRandom, target } from '../../test/support/rewriting.ts';
import { rewrite } from './rewrite.ts';
import { scan } from './scanner.ts';
import { undo } from './splices.ts';

const SECONDS = 4;

interface Seen {
  readonly links: readonly string[];
  readonly images: readonly string[];
  readonly bodyEnds: readonly number[];
}

class Oracle extends Parser<DefaultTreeAdapterMap> {
  readonly links: string[] = [];
  readonly images: string[] = [];
  readonly bodyEnds: number[] = [];
  /** Where the token in hand began: tree construction hands some tokens to itself several times. */
  private lastOffset = -1;

  override onStartTag(token: Token.TagToken): void {
    if (this.isFirstSight(token)) this.noteStartTag(token);
    super.onStartTag(token);
  }

  override onEndTag(token: Token.TagToken): void {
    const inert = this.tmplInsertionModeStack.length > 0;
    if (this.isFirstSight(token) && token.tagName === 'body' && !inert) this.bodyEnds.push(this.lastOffset);
    super.onEndTag(token);
  }

  private noteStartTag(token: Token.TagToken): void {
    const inert = this.tmplInsertionModeStack.length > 0;
    const wanted = token.tagName === 'a' ? 'href' : token.tagName === 'img' ? 'src' : null;
    const isForeign = wanted === 'href' && this.shouldProcessStartTagTokenInForeignContent(token);
    if (wanted !== null && !inert && !isForeign) {
      const value = token.attrs.find((attribute) => attribute.name === wanted)?.value;
      if (value !== undefined) (wanted === 'href' ? this.links : this.images).push(value);
    }
  }

  private isFirstSight(token: Token.TagToken): boolean {
    const offset = token.location?.startOffset ?? -1;
    if (offset <= this.lastOffset) return false;
    this.lastOffset = offset;
    return true;
  }
}

function seenByParse5(html: string): Seen {
  const oracle = new Oracle({ sourceCodeLocationInfo: true, scriptingEnabled: false });
  oracle.tokenizer.write(html, true);
  const { links, images, bodyEnds } = oracle;
  return { links, images, bodyEnds };
}

function seenByUs(html: string): Seen {
  const links: string[] = [];
  const images: string[] = [];
  const bodyEnds: number[] = [];
  const ignore = (): void => {};
  const end = scan(html, {
    link: (start, stop) => links.push(value(html, start, stop)),
    image: (_tagStart, _tagEnd, start, stop) => images.push(value(html, start, stop)),
    comment: ignore,
    bodyStart: ignore,
    bodyEnd: (start) => bodyEnds.push(start),
    htmlEnd: ignore,
  });
  assert.ok(end >= 0 && end <= html.length);
  return { links, images, bodyEnds };
}

/** Everything the scanner reports. `exact` makes it look for VML too, which takes the short cut for plain runs away. */
function reports(html: string, exact: boolean): unknown[] {
  const seen: unknown[] = [];
  const end = scan(
    html,
    {
      link: (...at) => seen.push('link', at),
      image: (...at) => seen.push('image', at),
      comment: (start, stop) => /href/i.test(html.slice(start, stop)) && seen.push('comment', start, stop),
      bodyStart: (at) => seen.push('body', at),
      bodyEnd: (at) => seen.push('/body', at),
      htmlEnd: (at) => seen.push('/html', at),
    },
    exact,
  );
  return [...seen, end];
}

/** As the parser gives it: CRLF as LF, NUL replaced. */
function value(html: string, start: number, end: number): string {
  const raw = html.slice(start, end).replaceAll(/\r\n?/g, '\n').replaceAll('\0', '\ufffd');
  return decodeHTMLAttribute(raw);
}

// Without select, frameset and col: the parser drops tags inside those, a scanner cannot know.
const SOUP = [
  ...'< > / = " \' & ; ! - -- --> --!> <! <!-- <!--> <!---> <? </ </> ]]> <![CDATA[ <![if!mso]> <!doctype \0 \t \r\n \f'.split(
    ' ',
  ),
  ...' |\n|x|y=z|é|🎉|\ud800|&amp;|&#38;|&copy|&lt;|<a |<a href=|<A HREF="|<a/href=\'|href=https://x/|href="https://y/"'.split(
    '|',
  ),
  ...' href| src="z"|<img src=|<img src="|</a>|<p>|</p>|<p title="|<br/>|<abbr href="n">|</body>|</BODY x="|<body>|</html>'.split(
    '|',
  ),
  ...'<table><tr><td>|</table>|<b>|</b>|<div class="c" id=d>|<td width="1"\ta b="c"d="">|<p a ="b>">|<p ="b>">|<p a="b"="c>">|</div>|<i a="b" c="<a href=x>" >|<br a="b" /></i>|<i a="x\'>|<i a=\'x">|<font color=a>|<font>|<template>|</template>|</template '.split(
    '|',
  ),
  ...'<!--[if mso]><p f="f">|<!-- hreF -->|<!-- h-r-e-f f -->|<![endif]-->|</p >|</p\n>|</br/>|</a b="c">|<P>|</bodyx>'.split(
    '|',
  ),
  ...'<title>|</title>|<style>|</style>|</styl|<script>|</script>|<script |<textarea>|</textarea>|<xmp>|</xmp>'.split(
    '|',
  ),
  ...'<iframe>|</iframe>|<noembed>|</noembed>|<noscript>|</noscript>|<noframes>|</noframes>|<svg/>|<math />|</svg>'.split(
    '|',
  ),
];

// Foreign content comes in whole pieces: which HTML end tag ends it depends on the open HTML elements, kept by the
// parser alone.
const FOREIGN = [
  ...'x|<!-- </svg> -->|<![CDATA[ <p><a href="n"> ]]>|<a href="n">y</a>|<g/>|<g><g></g></g>|<style><g/></style>'.split(
    '|',
  ),
  ...'<font></font>|<textarea></textarea>|<script></script>|<path d="M0">|<template></template>|<plaintext/>'.split(
    '|',
  ),
];
const SVG_ONLY =
  '<title><a href="t"></a></title>|<foreignObject><a href=f></a></foreignObject>|<mi><a href=n></a></mi>|<desc></desc>';
const MATH_ONLY =
  '<mi><a href="m"></a></mi>|<title></title>|<annotation-xml encoding="text/HTML"><a href=x></a></annotation-xml>';
const ENDINGS = ['</svg>', '</svg>', '</math>', '<p>', '<img src="i">', '<font size=1>', '</p>', '</br>'];

test('scanner and parse5 see the same links, images and body ends', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[], otherwise: T): T => list[Math.floor(random() * list.length)] ?? otherwise;
  // Large mails would only slow the search down.
  const mails = corpus()
    .map((mail) => mail.html)
    .filter((html) => html.length < 10_000);
  const several = (length: number, part: () => string): string => Array.from({ length }, part).join('');
  const foreign = (): string => {
    const name = pick(['svg', 'math'], '');
    const parts = [...FOREIGN, ...(name === 'svg' ? SVG_ONLY : MATH_ONLY).split('|')];
    return `<${name}>${several(random() * 4, () => pick(parts, ''))}${pick(ENDINGS, '').replace(/svg|math/, name)}`;
  };
  const soup = (length: number): string => several(length, () => (random() < 0.05 ? foreign() : pick(SOUP, '')));
  const mutated = (): string => {
    let html = pick(mails, '');
    for (let cuts = random() * 4; cuts > 0; cuts--) {
      const at = Math.floor(random() * html.length);
      html = html.slice(0, at) + html.slice(at + Math.floor(random() * random() * 60));
    }
    const at = Math.floor(random() * html.length);
    html = html.slice(0, at) + soup(random() * 4) + html.slice(at);
    return html;
  };

  const stop = performance.now() + SECONDS * 1_000;
  let runs = 0;
  for (; performance.now() < stop; runs++) {
    const html = runs % 8 === 0 ? mutated() : soup(1 + Math.floor(random() * 24));
    const message = `SEED=${seed} run ${runs}: ${JSON.stringify(html)}`;
    assert.deepEqual(seenByUs(html), seenByParse5(html), message);
    if (!/<v:/i.test(html)) assert.deepEqual(reports(html, false), reports(html, true), message);
    const result = rewrite(html, options, target);
    if (result.kind === 'rewritten') assert.equal(undo(result), html, message);
  }
  assert.ok(runs > 100, `${runs} runs`);
});

test('a rewritten mail differs in its links and one pixel, as parse5 sees it', () => {
  for (const { name, html } of corpus()) {
    const before = seenByParse5(html);
    const after = seenByParse5(rewritten(html).html);
    assert.equal(after.links.length, before.links.length, name);
    const fresh = after.images.filter((url) => target.isOwnPixel(url));
    assert.deepEqual(fresh, [target.pixelUrl()], name);
  }
});
