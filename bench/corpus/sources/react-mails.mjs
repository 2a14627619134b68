// Mails in the shape react-email gives: inline styles, nested tables, conditional comments around buttons.
import {
  Body, Button, Column, Container, Head, Heading, Hr, Html, Img, Link, Preview, Row, Section, Text,
} from '@react-email/components';
import { createElement as h } from 'react';

const main = { backgroundColor: '#f6f9fc', fontFamily: '-apple-system, "Segoe UI", Roboto, sans-serif' };
const box = { backgroundColor: '#ffffff', margin: '0 auto', padding: '20px 0 48px', marginBottom: '64px' };
const button = { backgroundColor: '#4457d6', borderRadius: '6px', color: '#fff', padding: '12px 20px', fontSize: '15px' };

function frame(preview, ...children) {
  return h(Html, { lang: 'en' }, h(Head), h(Preview, null, preview), h(Body, { style: main }, h(Container, { style: box }, ...children)));
}

// A letter to subscribers: mostly prose, a link every few paragraphs.
const prose = [
  'The boat had been in the shed since the war, and nobody could say whose it was. “Ask the widow,” said the postman, so we asked the widow, who said that it had come with the house & that the house had come with the boat.',
  'You repair a clinker hull from the keel upwards: every plank overlaps the one below, so whatever is wrong at the bottom is wrong everywhere. We took eleven weeks for the garboards alone, with a steam box made from a drainpipe and a kettle.',
  'Larch is cheap, heavy and patient. Oak is none of these. What we learned about both would fill a notebook, and did; the pages with tar on them are the useful ones, the clean ones are wishful thinking.',
  'In April the harbour master came by, looked at the seams for a long while and said nothing at all, which in this town is applause. We launched her on the tenth of May, at the top of the tide, and she leaked as she should: for two days, and then no more.',
];

export const mails = {
  'react-letter': frame(
    'The boat in the shed',
    h(Heading, null, 'The boat in the shed'),
    ...Array.from({ length: 36 }, (_, n) =>
      h(Text, { key: n, style: { fontSize: '17px', lineHeight: '27px', margin: '0 0 18px' } },
        prose[n % 4], ' ', prose[(n + 1) % 4],
        n % 5 === 2 ? h(Link, { href: `https://letters.boats.example/notes/${n}?from=mail&issue=31` }, ` Note ${n}.`) : '')),
    h(Link, { href: 'https://letters.boats.example/unsubscribe/31' }, 'Unsubscribe'),
  ),

  'react-welcome': frame(
    'Welcome to Lattice',
    h(Img, { src: 'https://static.lattice.example/logo.png', width: 49, height: 21, alt: 'Lattice' }),
    h(Hr),
    h(Text, null, 'Thanks for signing up. You are ready to make your first board & share it with “the others”.'),
    h(Button, { style: button, href: 'https://app.lattice.example/boards/new?from=welcome&step=1' }, 'Make a board'),
    h(Text, null, 'Stuck? Read the ', h(Link, { href: 'https://docs.lattice.example/start' }, 'guide'), ' or write to ', h(Link, { href: 'mailto:hi@lattice.example' }, 'us'), '.'),
  ),
  'react-sign-in': frame(
    'Your sign-in link',
    h(Heading, null, 'Sign in'),
    h(Button, { style: button, href: 'https://app.lattice.example/login?token=8f14e45fceea167a5a36dedd4bea2543' }, 'Sign in to Lattice'),
    h(Text, null, 'Or paste this code: sparo-ndigo-amurt-batsi'),
    h(Link, { href: 'https://lattice.example' }, 'Lattice'),
  ),
  'react-activity': frame(
    'What happened while you were away',
    ...Array.from({ length: 24 }, (_, n) =>
      h(Section, { key: n, style: { padding: '8px 24px' } },
        h(Row, null,
          h(Column, { style: { width: '48px' } }, h(Img, { src: `https://static.lattice.example/u/${n}.png`, width: 36, height: 36, alt: '' })),
          h(Column, null,
            h(Text, { style: { margin: 0 } }, h('b', null, `Person ${n}`), ' commented on ', h(Link, { href: `https://app.lattice.example/b/${n}?c=${n * 7}&ref=mail` }, `Board ${n}`)),
            h(Text, { style: { color: '#777', fontSize: '12px', margin: 0 } }, `It says < 5 & "fine"; see row ${n}.`))))),
    h(Button, { style: button, href: 'https://app.lattice.example/inbox' }, 'Open the inbox'),
  ),
  'react-invoice': frame(
    'Invoice for November',
    h(Section, null, h(Row, null, h(Column, null, 'Plan'), h(Column, { align: 'right' }, '$ 18.00')), h(Row, null, h(Column, null, 'Seats'), h(Column, { align: 'right' }, '$ 54.00'))),
    h(Hr),
    h(Text, null, h(Link, { href: 'https://billing.lattice.example/i/2026-11?download=1' }, 'Download'), ' · ', h(Link, { href: 'tel:+1-201-555-0123' }, '+1-201-555-0123')),
  ),
};
