// Makes ../*.html from these sources. The makers are not dependencies of the project; in an empty folder run
//   npm i mjml@4.15.3 @react-email/render @react-email/components react react-dom
// copy this folder's files there, and: node generate.mjs <path of bench/corpus>
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { render } from '@react-email/render';
import mjml2html from 'mjml';
import { mails } from './react-mails.mjs';

const out = process.argv[2];
const here = import.meta.dirname;

for (const file of readdirSync(here).filter((name) => name.endsWith('.mjml'))) {
  const source = readFileSync(join(here, file), 'utf8').replace(
    /<!-- repeat (\d+) -->([^]*?)<!-- end -->/g,
    (_, times, part) => Array.from({ length: Number(times) }, (_, n) => part.replaceAll('{n}', String(n + 1))).join(''),
  );
  const { html, errors } = mjml2html(source, { validationLevel: 'soft' });
  for (const error of errors) console.error(file, error.formattedMessage);
  writeFileSync(join(out, file.replace('.mjml', '.html')), html);
}
for (const [name, mail] of Object.entries(mails)) writeFileSync(join(out, `${name}.html`), await render(mail));

// The big one of a real inbox: a newsletter forwarded in a thread.
const newsletter = readFileSync(join(out, 'newsletter.html'), 'utf8');
const thread = readFileSync(join(out, 'thread-gmail.html'), 'utf8');
writeFileSync(join(out, 'thread-forward.html'), thread.replace('<!-- forwarded -->', () => newsletter));
