import { destinationContract } from '../../../test/support/destination-contract.ts';
import { echoChallenge, status } from '../../../test/support/receiver.ts';
import { parseRanges } from '../../addresses.ts';
import { makeSafeFetch } from '../../safe-fetch.ts';
import { makeWebhook } from './webhook.ts';

destinationContract('a webhook', {
  make(place, { deadlineMs, names }) {
    const safeFetch = makeSafeFetch({ allowLoopback: true, allowPrivateTargets: parseRanges(''), names });
    return {
      destination: makeWebhook({ safeFetch, deadlineMs }),
      address: `http://${place}/hook`,
      close: () => safeFetch.close(),
    };
  },
  yes: (request, response) => (request.method === 'GET' ? echoChallenge : status(200))(request, response),
  read: ({ method, headers, body }) => ({
    id: String(headers['webhook-id']),
    bytes: method === 'POST' ? body : Buffer.alloc(0),
    encoding: headers['content-encoding'],
  }),
  malformed: ['', 'example.com/hook', 'ftp://example.com/hook', 'https://user:pass@example.com/hook', 'https://'],
  secrets: [`whsec_${Buffer.from('a secret of thirty-two bytes, ok').toString('base64')}`],
});
