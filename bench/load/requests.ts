import { uuidv7 } from '../../src/ids.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { linkUrl, pixelUrl, tokenKeys } from '../../src/tracking/token.ts';

export const SECRET = 'a secret for measuring only';

/** Ready-made requests for pixels or links of `count` messages, with the headers a mail program sends. */
export function buildRequests(kind: 'open' | 'click', count: number): Buffer[] {
  const keys = tokenKeys(parseKeyring(SECRET));
  return Array.from({ length: count }, (_, index) => {
    const identity = { app: 1, grant: 1 + (index % 7), message: uuidv7(), link: 0 };
    const path =
      kind === 'open'
        ? pixelUrl(keys, '', identity)
        : linkUrl(keys, '', identity, `https://shop.example.com/item/${1000 + index}?utm_source=mail`);
    return Buffer.from(
      `GET ${path} HTTP/1.1\r\nHost: t.example.com\r\n` +
        'User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Mail/16.0\r\n' +
        'Accept: image/webp,image/avif,image/*;q=0.8,*/*;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n' +
        `Accept-Language: en-GB\r\nX-Forwarded-For: 198.51.100.${100 + (index % 150)}\r\n\r\n`,
    );
  });
}
