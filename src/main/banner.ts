import type { Config } from '../config.ts';
import type { FirstApplication } from './bootstrap.ts';

/**
 * What `npm start` says on standard output once all is ready. On a public installation neither key nor sign-in token is
 * printed: there, standard output ends in somebody's log.
 */
export function banner(config: Config, first: FirstApplication, signInToken: string): string {
  const { apiKey, grant } = first;
  const key = config.loopback
    ? apiKey
    : config.apiKey !== null
      ? '$TELLTALE_API_KEY'
      : `$(cat ${config.dataDir}/api-key)`;
  const lines = [
    '',
    `Telltale is ready at ${config.publicUrl}`,
    '',
    config.loopback
      ? `  Sign in   ${config.publicUrl}/sign-in?token=${signInToken}   (works once)`
      : '  Sign in   npm run telltale -- sign-in',
    `  API key   ${key}`,
  ];
  if (config.practice)
    lines.push(`  Grant     ${grant.id}   (practice mailbox ${grant.email})`, '', ...curl(config, key, grant.id));
  return `${lines.join('\n')}\n\n`;
}

function curl(config: Config, key: string, grantId: string): string[] {
  const body = {
    to: [{ name: 'Kim', email: 'kim@example.com' }],
    subject: 'Hello from Telltale',
    body: '<p>Please <a href="https://example.com/demo">have a look</a>.</p>',
    tracking_options: { opens: true, links: true, thread_replies: true, label: 'first-try' },
  };
  return [
    'Send a first tracked mail, then open the address above to read it:',
    '',
    `  curl -s ${config.publicUrl}/v3/grants/${grantId}/messages/send \\`,
    `    -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' \\`,
    `    -d '${JSON.stringify(body)}'`,
  ];
}
