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

// A long thread as Outlook keeps it: the whole history, every paragraph in spans of its own.
const reply = readFileSync(join(out, 'reply-outlook.html'), 'utf8');
const paragraph = (n) =>
  `<p class="MsoNormal" style="mso-margin-top-alt:auto;mso-margin-bottom-alt:auto"><span lang="EN-US" style="font-size:10.5pt;font-family:&quot;Calibri&quot;,sans-serif;color:black">Point ${n}: the figures of the third quarter are in, the auditors want the ledgers of the harbour shed by Friday, and nobody has the key; I have asked twice.<o:p></o:p></span></p>\n`;
const earlier = Array.from(
  { length: 16 },
  (_, n) =>
    `<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm"><p class="MsoNormal"><b><span lang="EN-US">From:</span></b><span lang="EN-US"> Member ${n} &lt;<a href="mailto:member${n}@contoso.example">member${n}@contoso.example</a>&gt;<br><b>Subject:</b> RE: Board<o:p></o:p></span></p></div>\n` +
    Array.from({ length: 6 }, (_, m) => paragraph(n * 6 + m)).join(''),
).join('');
writeFileSync(join(out, 'thread-outlook.html'), reply.replace('</div>\n</body>', () => `${earlier}</div>\n</body>`));

// The big one of a real inbox: a newsletter forwarded in a thread.
const newsletter = readFileSync(join(out, 'newsletter.html'), 'utf8');
const thread = readFileSync(join(out, 'thread-gmail.html'), 'utf8');
writeFileSync(join(out, 'thread-forward.html'), thread.replace('<!-- forwarded -->', () => newsletter));
