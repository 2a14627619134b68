import { type Service, startService } from './service.ts';

/** A service whose pixels and links others could reach, as tracking mail to others takes; mail servers may be on this machine. */
export function startMailService(env: Record<string, string> = {}): Promise<Service> {
  return startService({
    env: {
      TELLTALE_PUBLIC_URL: 'https://track.example.test',
      TELLTALE_API_KEY: 'the-key-of-this-test',
      TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8, ::1/128',
      ...env,
    },
  });
}
