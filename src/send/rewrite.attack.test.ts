// Time must grow with the size of the mail whatever is in it. A quadratic step takes minutes on these inputs.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { options, target } from '../../test/support/rewriting.ts';
import { rewrite } from './rewrite.ts';

const SIZE = 1_000_000;
// 0.02 to 0.1 s on an idle machine: room for a busy one.
const LIMIT_SECONDS = 1.5;

const REPEATED: readonly string[] = [
  '<a ',
  '<a <',
  '<',
  '</',
  '<!',
  '<!-',
  '<!--',
  '<!--->',
  '<!-- --!',
  '<!--[if ',
  '<!--[if mso]>',
  '<!--[if mso]><a href="-->',
  '<!--[if mso]><style>-->',
  '<!--[if mso]><!-- href -->',
  '<a href="',
  '<a href=\'x" ',
  '<a href=https://x.example/?&',
  '<a href=https://x.example>',
  '<a href="&#',
  '<p a="b" ',
  '<p a="b"',
  '<p a=',
  '<p "',
  '<p a="b" \'>',
  '<!-- f',
  '<!--f-->',
  '<!-- hre-->',
  '<!-- href-->',
  '<style></style',
  '<style><',
  '<title></title>',
  '<script>',
  '<script><!--',
  '<script><!--<script>',
  '<script><!--</script>',
  '<svg>',
  '<svg></math>',
  '<svg><title>',
  '<svg><![CDATA[',
  '<math><font ',
  '<template>',
  '<template></svg>',
  '<template></template>',
  '</body>',
  '</body',
  '<body>',
  '<img src=x>',
  '&amp',
  '-->',
  '>',
  '"',
];

const WHOLE: readonly (readonly [name: string, html: string])[] = [
  ['one long href', `<a href="https://x.example/${'&amp;a=b'.repeat(SIZE / 8)}">`],
  ['white space in an href', `<a href="https://x.example/${' '.repeat(SIZE)}b">`],
  ['white space in a tag', `<a ${' '.repeat(SIZE)}`],
  ['many attributes', `<p${' a="b"'.repeat(SIZE / 6)}`],
  ['many attributes of a link', `<a${' a=b'.repeat(SIZE / 4)} href=https://x.example>`],
  ['opened, then closed wrongly', '<svg>'.repeat(SIZE / 10) + '</math>'.repeat(SIZE / 14)],
  ['ends without a start', '<svg><title>'.repeat(SIZE / 20) + '</math>'.repeat(SIZE / 14)],
  ['templates, then wrong ends', '<template>'.repeat(SIZE / 20) + '</svg></template>'.repeat(SIZE / 40)],
  ['a long tag name', `<${'a'.repeat(SIZE)}`],
  ['hyphens in a comment', `<!--${'-'.repeat(SIZE)}`],
  [
    'twins',
    '<a href=https://x.example>'.repeat(90) + '<!--[if mso]><a href=https://x.example><![endif]-->'.repeat(SIZE / 50),
  ],
  ['two-byte text', '<a 日'.repeat(SIZE / 4)],
];

describe('linear time on 1 MB of', () => {
  const inputs = [...REPEATED.map((part) => [part, part.repeat(Math.ceil(SIZE / part.length))] as const), ...WHOLE];
  for (const [name, html] of inputs) {
    test(name, () => {
      const start = process.hrtime.bigint();
      rewrite(html, options, target);
      const seconds = Number(process.hrtime.bigint() - start) / 1e9;
      assert.ok(seconds < LIMIT_SECONDS, `${seconds.toFixed(3)} s`);
    });
  }
});
