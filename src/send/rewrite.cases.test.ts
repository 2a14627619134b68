// One test per known shape of HTML: the links found, and every other byte kept.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PIXEL, rewritten, target, urls } from '../../test/support/rewriting.ts';
import { undo } from './splices.ts';

const X = 'https://x.example/';
const LINK = `<a href="${X}">x</a>`;

/** Every link tracked with its quotes kept, one pixel, nothing else changed. */
function expectLinks(html: string, expected: readonly string[]): void {
  const result = rewritten(html);
  assert.deepEqual(urls(result.links), expected);
  assert.equal(undo(result), html);
  assert.equal(result.changes.length, expected.length + 1, 'one change per link and the pixel');
  const texts = result.changes.map(({ start, end }) => result.html.slice(start, end));
  expected.forEach((url, index) => {
    const link = target.linkUrl(index, url);
    assert.ok(texts.includes(link) || texts.includes(`"${link}"`), `link ${index}`);
  });
  assert.ok(texts.includes(PIXEL));
}

const LINK_CASES: readonly (readonly [name: string, html: string, expected: readonly string[]])[] = [
  ['double', `<a href="${X}">x</a>`, [X]],
  ['single', `<a href='${X}'>x</a>`, [X]],
  ['unquoted', `<a href=${X}>x</a>`, [X]],
  ['unquoted slash', '<a href=https://x.example/a/>x</a>', ['https://x.example/a/']],
  ['unquoted then attr', `<a href=${X}a class=b>x</a>`, [`${X}a`]],
  ['uppercase', `<A HREF="${X}">x</A>`, [X]],
  ['no space between attributes', `<a class="b"href="${X}"id='c'>x</a>`, [X]],
  ['<a/href=', `<a/href="${X}">x</a>`, [X]],
  ['newlines around =', `<a href\n=\r\n\t"${X}">x</a>`, [X]],
  ['&amp;', `<a href="${X}?a=1&amp;b=2">x</a>`, [`${X}?a=1&b=2`]],
  ['bare &', `<a href="${X}?a=1&b=2">x</a>`, [`${X}?a=1&b=2`]],
  ['legacy &copy= and &reg', `<a href="${X}?a=1&copy=2&reg">x</a>`, [`${X}?a=1&copy=2®`]],
  ['numeric entities', `<a href="${X}?a&#38;b&#x26;c&#x3D;d">x</a>`, [`${X}?a&b&c=d`]],
  ['entity as first char, quoted', '<a href="&#104;ttps://x.example/">x</a>', [X]],
  ['entity as first char, unquoted', '<a href=&#104;ttps://x.example/>x</a>', [X]],
  ['newline inside', '<a href="https://x.exam\nple/a\r\n/b">x</a>', ['https://x.example/a/b']],
  ['CRLF + emoji', `<p>🎉</p>\r\n<a\r\nhref="${X}🎉">x</a>\r\n`, [`${X}🎉`]],
  ['surrounding spaces', `<a href=" \t\n${X}\f \r\n">x</a>`, [X]],
  ['duplicate href', `<a href="${X}1" href="${X}2">x</a>`, [`${X}1`]],
  ['empty first href', `<a href="" href="${X}">x</a>`, []],
  ['valueless first href', `<a href href="${X}">x</a>`, []],
  ['comment', `<!-- <a href="${X}no">x</a> -->${LINK}`, [X]],
  ['MSO conditional + revealed', `<!--[if mso]><p>old</p><![endif]--><!--[if !mso]><!-->${LINK}<!--<![endif]-->`, [X]],
  ['<![if !mso]>', `<![if !mso]>${LINK}<![endif]>`, [X]],
  ['<!-->', `<!-->${LINK}`, [X]],
  ['<!--->', `<!--->${LINK}`, [X]],
  ['--!>', `<!-- <a href="${X}no"> --!>${LINK}`, [X]],
  ['<!--!> does not close', `<!--!><a href="${X}no">--><a href="${X}">x</a>`, [X]],
  ['<!----!> closes', `<!----!>${LINK}`, [X]],
  ['<?xml', `<?xml version="1.0"?><?x <a href="${X}no"?>${LINK}`, [X]],
  ['doctype', `<!DOCTYPE html PUBLIC "a>${LINK}`, [X]],
  ['</ x', `</ <a href="${X}no">${LINK}`, [X]],
  ['style', `<style>p{} <a href="${X}no"></styles></style >${LINK}`, [X]],
  ['script', `<script>"<a href='${X}no'>"</script>${LINK}`, [X]],
  ['script escaped', `<script><!-- </script>${LINK}`, [X]],
  ['script double escaped', `<script><!-- <script> </script> <a href="${X}no"> --></script>${LINK}`, [X]],
  ['script left by -->', `<script><!-- <script> --> </script>${LINK}`, [X]],
  ['textarea', `<textarea><a href="${X}no"></textarea>${LINK}`, [X]],
  ['title', `<title><a href="${X}no"></title>${LINK}`, [X]],
  ['noscript is content in a mail', `<noscript>${LINK}</noscript>`, [X]],
  ['template', `<template><a href="${X}no"><template></template><a href="${X}no"></template>${LINK}`, [X]],
  ['svg a', `<svg><a href="${X}no"></a></svg>${LINK}`, [X]],
  ['svg foreignObject', `<svg><foreignObject>${LINK}</foreignObject><a href="${X}no"></a></svg>`, [X]],
  ['svg left by a paragraph', `<svg><p>${LINK}`, [X]],
  ['svg left by the end of what it is in', `<table><tr><td><svg><g></td><td>${LINK}`, [X]],
  ['svg end in a template', `<svg><desc><template></svg></template></desc><a href="${X}no"></a></svg>${LINK}`, [X]],
  ['other quotes in a value', `<p title="it's'>"><p title='"'><p title="'><a href=">${LINK}`, [X]],
  ['svg self-closing', `<svg/>${LINK}`, [X]],
  ['math', `<math><mtext>${LINK}</mtext><a href="${X}no"></a></math>`, [X]],
  ['xmp', `<xmp><a href="${X}no"></xmp>${LINK}`, [X]],
  [
    'iframe, noembed, noframes',
    `<iframe><a href="${X}no"></iframe><noembed><a href="${X}no"></noembed><noframes><a href="${X}no"></noframes>${LINK}`,
    [X],
  ],
  ['svg style is no raw text', `<svg><style><g></style></svg>${LINK}`, [X]],
  ['svg CDATA', `<svg><![CDATA[ <p><a href="${X}no"> ]]></svg>${LINK}`, [X]],
  ['fragment', `Hello ${LINK}`, [X]],
  ['text after </html>', `<html><body>${LINK}</body></html> the end`, [X]],
  ['link after </body>', `<body>x</body>${LINK}`, [X]],
  ['> in attribute', `<p title="a > b"><a title='>' data-x=">" href="${X}">x</a>`, [X]],
  ['empty/no href', '<a href="">x</a><a name="y">y</a><a>z</a><a href>q</a><a href=>r</a>', []],
  ['area/link/base', `<base href="${X}"><link href="${X}"><area href="${X}"><form action="${X}"></form>`, []],
  ['abbr/article/a-b', `<abbr href="${X}"><article href="${X}"><a-b href="${X}"><a:b href="${X}">`, []],
  ['end tag with attributes', `<a href="${X}">x</a href="${X}no" x=">">`, [X]],
  ['nested a', `<a href="${X}1">x<a href="${X}2">y</a></a>`, [`${X}1`, `${X}2`]],
  ['adoption duplicate', `<p><a href="${X}">x<p>y</a></p>`, [X]],
  ['quotes inside', `<a href="${X}?q='a'">x</a><a href='${X}?q="b"'>y</a>`, [`${X}?q='a'`, `${X}?q="b"`]],
  ['&quot;', `<a href="${X}?q=&quot;a&quot;">x</a>`, [`${X}?q="a"`]],
  ['unicode URL', '<a href="https://müller.example/größe?q=日本">x</a>', ['https://müller.example/größe?q=日本']],
  ['data-href first', `<a data-href="${X}no" xhref="${X}no" href="${X}">x</a>`, [X]],
  ['href inside another attribute', `<a title=' href="${X}no" ' href="${X}">x</a>`, [X]],
  ['CDATA in HTML is a bogus comment', `<![CDATA[ > ${LINK} ]]>`, [X]],
  ['tag cut at EOF', `${LINK}<a href="${X}no"`, [X]],
  ['value cut at EOF', `${LINK}<a href="${X}no`, [X]],
  ['BOM', `\ufeff<a href="${X}">x</a>`, [X]],
  ['XHTML self-closing', `<a href="${X}" />x<br/><a href="${X}2"/>`, [X, `${X}2`]],
  ['odd spacing kept', `<a   href  =  "${X}"   class = b   >x</a   >`, [X]],
  ['NUL', `<a\0 href="${X}no"><a href="${X}\0no"><a h\0ref="${X}no">\0${LINK}`, [X]],
  ['lone surrogate', `\ud800<a href="${X}\udc00no">x</a>${LINK}\udfff`, [X]],
  ['table misnest', `<table><a href="${X}1">x</a><tr><td><a href="${X}2">y</table>`, [`${X}1`, `${X}2`]],
  ['select', `<select><option><a href="${X}">x</a></select>`, [X]],
  ['leading = belongs to the name', `<a =href="${X}no" href="${X}">x</a>`, [X]],
  ['less-than signs in text', `1 < 2 <3 <<a href="${X}">x</a> <`, [X]],
];

describe('links found, bytes kept', () => {
  for (const [name, html, expected] of LINK_CASES) test(name, () => expectLinks(html, expected));

  test('plaintext', () => {
    const result = rewritten(`${LINK}<plaintext>${LINK}</plaintext></body>`);
    assert.deepEqual(urls(result.links), [X]);
    assert.ok(result.html.endsWith(`${PIXEL}<plaintext>${LINK}</plaintext></body>`));
  });
});

const PIXEL_CASES: readonly (readonly [name: string, before: string, after: string])[] = [
  ['before </body>', '<html><body>x', '</body></html>'],
  ['no </body>, before </html>', '<html>x', '</html>'],
  ['fragment, at the end', '<p>x</p>', ''],
  ['empty', '', ''],
  ['text after </html>', '<body>x', '</body></html> y'],
  ['the last of several </body>', '<body>x</body><p>quoted', '</body> y'],
  ['</body> in comment', '<body>x', '</body><!-- </body> -->'],
  ['</body> in conditional comment', '<body>x', '</body><!--[if mso]></body><![endif]-->'],
  ['</body> in script', '<body>x', '</body><script>"</body>"</script>'],
  ['</body> in textarea', '<body>x', '</body><textarea></body></textarea>'],
  ['</body> in template', '<body>x', '</body><template></body></template>'],
  ['</body> in attribute', '<body>x', '</body><p title="</body>">'],
  ['</BODY >', '<BODY>x', '</BODY >'],
  ['</body> with attributes', '<body>x', '</body x=">">'],
  ['</bodyx> and </tbody>', '<table></tbody></bodyx>', ''],
  ['unclosed comment', '<p>x</p>', '<!-- y </body>'],
  ['unclosed tag', '<p>x</p>', '<p title="</body>'],
  ['unclosed textarea', '<p>x</p>', '<textarea></body>'],
  ['raw text with its end tag cut', '<p>x</p>', '<style>a</style '],
  ['unclosed script', '<p>x</p>', '<script></scriptx><p></body>'],
  ['unclosed template', '<p>x</p>', '<template><p></body><template></template>'],
  ['unclosed template and tag', '<p>x</p>', '<template><p></body><b '],
  ['unclosed CDATA', '<svg>', '<![CDATA[ x </body>'],
  ['unclosed bogus comment', '<p>x</p>', '<!x'],
  ['lone </ at the end', '<p>x</p>', '</'],
  ['lone < at the end', '<p>x <', ''],
  ['plaintext', 'x', '<plaintext></body>'],
];

describe('where the pixel goes', () => {
  for (const [name, before, after] of PIXEL_CASES) {
    test(name, () => {
      const result = rewritten(before + after);
      assert.equal(result.html, before + PIXEL + after);
      assert.equal(undo(result), before + after);
    });
  }
});
