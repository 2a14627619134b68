import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  corpus,
  HOST,
  linksOnly,
  opensOnly,
  options,
  PIXEL,
  rewritten,
  target,
  urls,
} from '../../test/support/rewriting.ts';
import { MAX_TRACKED_LINKS, rewrite } from './rewrite.ts';
import { undo } from './splices.ts';

const link = (url: string): string => `<a href="${url}">x</a>`;
const tracked = (index: number, url: string): string => target.linkUrl(index, url);

describe('the examples of the page', () => {
  for (const url of ['https://www.google.com', 'mailto:nyla@example.com', 'tel:+1-201-555-0123']) {
    test(`${url} is tracked`, () => {
      const result = rewritten(link(url), linksOnly);
      assert.equal(result.html, link(tracked(0, url)));
      assert.deepEqual(result.links, [{ index: 0, url }]);
    });
  }
  test('an anchor without href and an unsupported scheme are left as written', () => {
    const html = '<a>www.google.com</a> <a href="zoommtg://zoom.us/join?confno=12345">Join a zoom conference</a>';
    assert.equal(rewritten(html, linksOnly).html, html);
  });
  test('the Ruby body', () => {
    const html = "Visit <a href='https://nylas.com'>Nylas.com</a> for details.";
    assert.equal(rewritten(html, linksOnly).html, html.replace('https://nylas.com', tracked(0, 'https://nylas.com')));
  });
  test('the body of the curl call, whose shell takes the quotes away', () => {
    const html = 'I would like to track this link <a href=https://espn.com>My Example Link</a>';
    const result = rewritten(html);
    assert.equal(result.html, html.replace('https://espn.com', tracked(0, 'https://espn.com')) + PIXEL);
    assert.equal(result.links[0]?.url, 'https://espn.com', 'no slash added');
  });
  test('private Google forms', () => {
    const html = link('https://docs.google.com/forms/d/1AbC/viewform?edit2=2_ABaOnu');
    assert.equal(rewritten(html, linksOnly).html, html);
  });
});

describe('both switches off', () => {
  test('the very same string, own old pixels included', () => {
    const html = `${link('https://x.example')}<img src="${HOST}/o/old.gif">`;
    const result = rewritten(html, { links: false, opens: false });
    assert.equal(result.html, html);
    assert.deepEqual([result.links, result.changes], [[], []]);
  });
});

describe('the limit', () => {
  const many = (count: number): string => Array.from({ length: count }, () => link('https://x.example')).join('\n');

  test('100 links pass', () => assert.equal(rewritten(many(MAX_TRACKED_LINKS)).links.length, 100));
  test('101 fail with the sentence of the page', () => {
    assert.deepEqual(rewrite(many(101), options, target), {
      kind: 'too_many_links',
      count: 101,
      message:
        'Too many tracking links: 101 exceeds the maximum of 100. Please reduce the number of links in your email.',
    });
  });
  test('the count is the real one', () => {
    const result = rewrite(many(2_000), options, target);
    assert.equal(result.kind === 'too_many_links' && result.count, 2_000);
  });
  test('links left as written do not count', () => {
    const html = many(100) + link('#top') + link('https://u:p@x.example') + link('http://x.example');
    assert.equal(rewritten(html).links.length, 100);
  });
  test('a twin in a conditional comment does not count, one without a twin does', () => {
    const twin = `<!--[if mso]>${link('https://x.example')}<![endif]-->`;
    assert.equal(rewritten(many(100) + twin).links.length, 100);
    const alone = `<!--[if mso]>${link('https://outlook.example')}<![endif]-->`;
    assert.equal(rewrite(many(100) + alone, options, target).kind, 'too_many_links');
  });
  test('no limit with links off', () => assert.equal(rewritten(many(500), opensOnly).html, many(500) + PIXEL));
});

describe('link indices', () => {
  const vml = (url: string): string =>
    `<!--[if mso]><v:roundrect xmlns:v="urn:x" href="${url}" arcsize="10%"><![endif]-->`;

  test('one per occurrence in document order, repeated URLs included', () => {
    const result = rewritten(link('https://a.example') + link('https://b.example') + link('https://a.example'));
    assert.deepEqual(result.links, [
      { index: 0, url: 'https://a.example' },
      { index: 1, url: 'https://b.example' },
      { index: 2, url: 'https://a.example' },
    ]);
  });
  test('links left as written take none', () => {
    const result = rewritten(link('#top') + link('https://a.example') + link('') + link('mailto:a@b.example'));
    assert.deepEqual(urls(result.links), ['https://a.example', 'mailto:a@b.example']);
  });
  test('a VML button shares the index of its visible twin', () => {
    const html = (a: string, b: string): string => `${link(a)}${vml(b)}<!--[if !mso]><!-->${link(b)}<!--<![endif]-->`;
    const [a, b] = ['https://a.example', 'https://b.example'];
    const result = rewritten(html(a, b), linksOnly);
    assert.deepEqual(urls(result.links), [a, b]);
    assert.equal(result.html, html(tracked(0, a), tracked(1, b)));
  });
  test('one without a twin comes after all visible ones, one each', () => {
    const html = (o: string, p: string, a: string): string => vml(o) + vml(p) + link(a);
    const [o, a] = ['https://o.example', 'https://a.example'];
    const result = rewritten(html(o, o, a), linksOnly);
    assert.deepEqual(urls(result.links), [a, o, o]);
    assert.equal(result.html, html(tracked(1, o), tracked(2, o), tracked(0, a)));
  });
  test('of several twins the next one, else the last before', () => {
    const u = 'https://u.example';
    const html = (a: string, b: string, c: string, d: string): string => link(a) + vml(b) + link(c) + vml(d);
    assert.equal(
      rewritten(html(u, u, u, u), linksOnly).html,
      html(tracked(0, u), tracked(1, u), tracked(1, u), tracked(1, u)),
    );
  });
  test('the twin may be written with other entities', () => {
    const result = rewritten(vml('https://u.example?a&amp;b') + link('https://u.example?a&#38;b'));
    assert.deepEqual(urls(result.links), ['https://u.example?a&b']);
  });
});

describe('conditional comments', () => {
  const hidden = (condition: string): string => `<!--[${condition}]>${link('https://x.example')}<![endif]-->`;
  const plain: readonly string[] = [
    '<!-- [if mso]>y<![endif]-->',
    '<!--[if mso>y-->',
    '<!--[iffy]>y-->',
    '<!--[mso]>y-->',
    '<!--if mso]>y-->',
  ];

  for (const condition of [
    'if mso',
    'if gte mso 9',
    'IF MSO',
    'if (gte mso 9)|(IE)',
    'if !mso',
    'if(mso)',
    'if\nmso',
  ]) {
    test(`[${JSON.stringify(condition)}] is descended into`, () =>
      assert.equal(rewritten(hidden(condition)).links.length, 1));
  }
  for (const comment of plain) {
    test(`${comment} is an ordinary comment`, () => {
      const html = comment.replace('y', link('https://x.example'));
      assert.equal(rewritten(html, linksOnly).html, html);
    });
  }
  test('VML outside, area, and other elements inside are left', () => {
    const html = `<v:rect href="https://x.example"><!--[if mso]><area href="https://x.example"><w:x href="https://x.example"><va href="https://x.example"><![endif]-->`;
    assert.equal(rewritten(html, linksOnly).html, html);
  });
  test('raw text and comments inside keep their rules', () => {
    const html = `<!--[if mso]><style>${link('https://x.example')}</style>${link('https://y.example')}<![endif]-->`;
    assert.deepEqual(urls(rewritten(html).links), ['https://y.example']);
  });
  test('a tag cut by the end of the comment does not exist', () => {
    const html = '<!--[if mso]><a href="https://x.example"--><p title=">">';
    assert.equal(rewritten(html, linksOnly).html, html);
  });
  test('in a template: left', () => {
    const html = `<template>${hidden('if mso')}</template>`;
    assert.equal(rewritten(html, linksOnly).html, html);
  });
  test('nothing inside is taken for body, pixel or our own image', () => {
    const html = `<!--[if mso]><body></body></html><img src="${HOST}/o/old.gif"><![endif]-->`;
    assert.equal(rewritten(html, opensOnly).html, html + PIXEL);
  });
  test('a tracking URL never ends the comment', () => {
    const html = '<!--[if mso]><a href=https://x.example>x</a><![endif]-->';
    const sharp = { ...target, linkUrl: () => `${HOST}/c/x--` };
    const result = rewrite(html, linksOnly, sharp);
    assert.equal(result.kind === 'rewritten' && result.html, html.replace('https://x.example', `"${HOST}/c/x--"`));
  });
});

describe('what is written', () => {
  const withUrl = (html: string, url: string): string => {
    const result = rewrite(html, linksOnly, { ...target, linkUrl: () => url });
    assert.ok(result.kind === 'rewritten');
    assert.equal(undo(result), html);
    return result.html;
  };
  test('an unquoted value gets quotes when the URL is not safe without', () => {
    assert.equal(withUrl('<a href=https://x.example>', `${HOST}/a`), `<a href=${HOST}/a>`);
    assert.equal(withUrl('<a href=https://x.example>', `${HOST}/a/`), `<a href="${HOST}/a/">`);
    assert.equal(withUrl('<a href=https://x.example>', `${HOST}/?a=b`), `<a href="${HOST}/?a=b">`);
  });
  test('quotes, ampersands and angle brackets are escaped', () => {
    assert.equal(withUrl('<a href="https://x.example">', `a"b'c&d<e>`), '<a href="a&quot;b&#39;c&amp;d&lt;e&gt;">');
    assert.equal(withUrl("<a href='https://x.example'>", `a"b'c`), "<a href='a&quot;b&#39;c'>");
  });
});

describe('which addresses', () => {
  const leftAlone = (url: string, changed = {}): void => {
    const html = `<a href="${url.replaceAll('&', '&amp;').replaceAll('"', '&quot;')}">x</a>`;
    assert.equal(rewritten(html, { ...linksOnly, ...changed }).html, html);
  };
  const isTracked = (url: string, changed = {}): void => {
    assert.deepEqual(urls(rewritten(link(url), { ...linksOnly, ...changed }).links), [url]);
  };

  test('http only when the setting adds it', () => {
    leftAlone('http://x.example/');
    isTracked('http://x.example/', { linkSchemes: ['https', 'http'] });
  });
  test('a scheme the setting removes', () => leftAlone('mailto:a@b.example', { linkSchemes: ['https'] }));
  test('scheme and setting without case', () => isTracked('HTTPS://x.example/', { linkSchemes: ['HTTPS'] }));
  test('scripts are never tracked, even if a setting names them', () => {
    leftAlone('javascript:alert(1)', { linkSchemes: ['javascript', 'data'] });
    leftAlone('data:text/html,x', { linkSchemes: ['javascript', 'data'] });
  });
  test('a secret parameter of the setting', () => {
    isTracked('https://x.example/?Magick=1');
    leftAlone('https://x.example/?mAGICK=1', { secretParameters: ['Magick'] });
  });
  test('URLs of the List-Unsubscribe header', () => {
    const untouched = ['https://x.example/unsubscribe?u=1&v=2', 'mailto:leave@x.example'];
    leftAlone('https://x.example/unsubscribe?u=1&v=2', { untouched });
    leftAlone('mailto:leave@x.example', { untouched });
    isTracked('https://x.example/unsubscribe?u=2', { untouched });
  });
});

describe('quoted history', () => {
  const url = 'https://x.example/draft?a=1&b=2';
  const old = `<blockquote>${link(tracked(7, url))}<p><img class=a src="${HOST}/o/old.gif" alt=">"></p></blockquote>`;

  test('an old tracked link is tracked anew as its destination, an old pixel goes', () => {
    const result = rewritten(old);
    assert.deepEqual(result.links, [{ index: 0, url }]);
    assert.equal(result.html, `<blockquote>${link(tracked(0, url))}<p></p></blockquote>${PIXEL}`);
    assert.equal(undo(result), old);
  });
  test('with opens alone only the pixel changes', () => {
    const result = rewritten(old, opensOnly);
    assert.equal(result.html, `<blockquote>${link(tracked(7, url))}<p></p></blockquote>${PIXEL}`);
  });
  test('a destination that is no longer tracked is written plainly', () => {
    const result = rewritten(`<a href=${tracked(0, 'http://x.example/?a&b')}>x</a>`, linksOnly);
    assert.equal(result.html, '<a href="http://x.example/?a&amp;b">x</a>');
    assert.deepEqual(result.links, []);
  });
  test('the destination decides on credentials and on the unsubscribe header', () => {
    const secret = 'https://x.example/?access_token=1';
    assert.equal(rewritten(link(tracked(0, secret)), linksOnly).html, link(secret));
    const leave = 'https://x.example/leave';
    assert.equal(rewritten(link(tracked(0, leave)), { ...linksOnly, untouched: [leave] }).html, link(leave));
  });
  test('a link wrapped twice is unwrapped twice', () => {
    assert.deepEqual(urls(rewritten(link(tracked(1, tracked(2, url)))).links), [url]);
  });
  test('a tracked link in a conditional comment is unwrapped too', () => {
    const html = (a: string): string => `<!--[if mso]>${link(a)}<![endif]-->${link(url.replace('&', '&amp;'))}`;
    assert.deepEqual(urls(rewritten(html(tracked(4, url))).links), [url]);
  });
  test("other people's pixels, and ours where it is not shown, stay", () => {
    const html = `<img src="https://other.example/o/1.gif"><img><img src><template><img src="${HOST}/o/old.gif"></template><!-- <img src="${HOST}/o/old.gif"> --><svg><image src="${HOST}/o/old.gif"/></svg>`;
    assert.equal(rewritten(html).html, html + PIXEL);
  });
  test('an old pixel after the body tag of a large mail', () => {
    const html = `<body><img src="${HOST}/o/old.gif">${'x'.repeat(100_001)}</body>`;
    const result = rewritten(html, opensOnly);
    assert.ok(result.html.startsWith(`<body>${PIXEL}xxx`));
    assert.equal(undo(result), html);
  });
  test('rewriting twice gives the same links and one pixel', () => {
    for (const { name, html } of corpus()) {
      const once = rewritten(html);
      const twice = rewritten(once.html);
      assert.deepEqual(twice.links, once.links, name);
      assert.equal(twice.html, once.html, name);
    }
  });
});

describe('large mails', () => {
  const filler = 'x'.repeat(100_000);

  test('the pixel goes behind the body tag, where Gmail does not cut it off', () => {
    const html = `<html><body class="a">${filler}</body></html>`;
    assert.equal(rewritten(html).html, html.replace('<body class="a">', `<body class="a">${PIXEL}`));
  });
  test('behind the first of several body tags', () => {
    const html = `<body>${filler}<body></body>`;
    assert.ok(rewritten(html).html.startsWith(`<body>${PIXEL}`));
  });
  test('bytes count, not characters', () => {
    const html = `<body>${'ü'.repeat(60_000)}</body>`;
    assert.ok(rewritten(html).html.startsWith(`<body>${PIXEL}`));
  });
  test('what the links add counts', () => {
    const html = `<body>${'x'.repeat(99_950)}${link('https://x.example')}</body>`;
    assert.ok(rewritten(html).html.startsWith(`<body>${PIXEL}`));
    assert.ok(rewritten(html, opensOnly).html.endsWith(`${PIXEL}</body>`));
  });
  test('without a body tag it goes to the end', () => {
    assert.equal(rewritten(filler).html, filler + PIXEL);
    assert.equal(
      rewritten(`<template><body></template>${filler}`).html,
      `<template><body></template>${filler}${PIXEL}`,
    );
  });
});

describe('the corpus', () => {
  for (const { name, html } of corpus()) {
    test(`${name}: undoing the rewrite gives the input back`, () => {
      for (const changed of [options, linksOnly, opensOnly]) {
        const result = rewritten(html, changed);
        assert.notEqual(result.html, html);
        assert.equal(undo(result), html);
      }
    });
  }
  test('links of the mail with VML buttons', () => {
    const html = corpus().find((mail) => mail.name === 'vml-button.html')?.html ?? '';
    assert.deepEqual(urls(rewritten(html).links), [
      'https://offer.example/go?id=1&src=mail',
      'https://offer.example/terms',
      'https://offer.example/second',
      'https://offer.example/outlook-note',
    ]);
  });
});
