import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plainText, snippet } from './snippet.ts';

describe('the snippet', () => {
  it('is what a reader sees of the start', () => {
    assert.equal(
      snippet('<p>Hello <b>W</b>orld</p><p>Fish &amp; chips&nbsp;&euro;5</p>', false),
      'Hello World Fish & chips €5',
    );
  });

  it('leaves out what is not shown', () => {
    const html =
      '<html><head><title>T</title><style>p{}</style></head><!-- note > --><body><script>1<2</script>Text</body>';
    assert.equal(snippet(html, false), 'Text');
  });

  it('has 100 characters, not code units', () => {
    assert.equal([...snippet('👋'.repeat(300), false)].length, 100);
    assert.equal(snippet(`${'a'.repeat(99)}  tail`, true), 'a'.repeat(99));
  });

  it('keeps signs that begin no tag, and plain text as it is', () => {
    assert.equal(snippet('1 < 2 and 3 <4', false), '1 < 2 and 3 <4');
    assert.equal(snippet('<b>&amp;</b>\r\n x', true), '<b>&amp;</b> x');
  });

  for (const [name, piece] of Object.entries({
    'open tags': '<a ',
    'open comments': '<!--',
    'open styles': '<style>',
    'loose signs': '< ',
    'white space': '<p> </p>',
    'spaces alone': '<b> </b>',
    'line breaks': '<br>\n',
  })) {
    it(`reads a hostile body in one pass: ${name}`, () => {
      const started = performance.now();
      snippet(piece.repeat(400_000), false);
      plainText(piece.repeat(400_000));
      assert.ok(performance.now() - started < 3000);
    });
  }
});

describe('the plain text of a body', () => {
  it('has its paragraphs on lines of their own', () => {
    const html =
      '<style>p{}</style><p>One\n  line</p>\n\n<p>two<br>three &lt;3</p><table><tr><td>a</td><td>b</td></tr></table>';
    assert.equal(plainText(html), 'One line\n\ntwo\nthree <3\n\na\n\nb');
  });
});
