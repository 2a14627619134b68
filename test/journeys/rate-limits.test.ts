import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Service, startService } from '../support/service.ts';

let service: Service;

before(async () => {
  service = await startService({
    env: {
      TELLTALE_GRANT_REQUESTS_PER_SECOND: '3',
      TELLTALE_GRANT_UPLOADS_PER_SECOND: '1',
      TELLTALE_APPLICATION_REQUESTS_PER_SECOND: '0',
    },
  });
});
after(async () => {
  await service.stop();
});

describe('the limits of the settings', () => {
  it('hold in the whole service, are counted, and let the rest go on', async () => {
    const grant = `/v3/grants/${service.grantId()}`;
    const burst = await Promise.all(Array.from({ length: 20 }, () => service.api('GET', grant)));
    const refused = burst.filter(({ status }) => status === 429);
    // Three at once and three in each second that it takes on a slow machine.
    assert.ok(refused.length > 0 && refused.length <= 17, `${refused.length} refused`);
    assert.equal(refused.length + burst.filter(({ status }) => status === 200).length, 20);
    for (const { headers, at } of refused) {
      assert.equal(headers.get('retry-after'), '1');
      assert.equal(at('error.type'), 'api.rate_limit_error');
      assert.equal(at('error.provider_error'), undefined);
    }
    const others = await Promise.all(Array.from({ length: 20 }, () => service.api('GET', '/v3/webhooks')));
    assert.ok(others.every(({ status }) => status === 200));
    const metrics = await (await fetch(`${service.url}/metrics`)).text();
    assert.match(
      metrics,
      new RegExp(`^telltale_requests_limited_total\\{limit="grant_requests"\\} ${refused.length}$`, 'm'),
    );
    assert.match(metrics, /^telltale_requests_limited_total\{limit="application_requests"\} 0$/m);
  });
});
