import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressProblem, clientAddress, normalAddress, parseRanges } from './addresses.ts';

test('an address has one spelling', () => {
  const table: [string, string][] = [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:c000:0207', '192.0.2.7'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::1', '::1'],
    ['127.1', ''],
    ['0x7f000001', ''],
    ['1.2.3.4.5', ''],
    ['1.2.3.256', ''],
    ['unknown', ''],
    ['', ''],
    ['1.2.3.4\u0000', ''],
    [`${'0'.repeat(60)}::1`, ''],
  ];
  for (const [text, expected] of table) assert.equal(normalAddress(text), expected, JSON.stringify(text));
});

test('ranges hold what their networks hold', () => {
  const ranges = parseRanges('10.0.0.0/8, 192.0.2.1\n2001:db8::/32 ::ffff:198.51.100.0/24');
  for (const inside of ['10.200.3.4', '192.0.2.1', '2001:db8:1::5', '198.51.100.77', '::ffff:10.0.0.1'])
    assert.equal(ranges.has(inside), true, inside);
  for (const outside of ['11.0.0.1', '192.0.2.2', '2001:db9::1', '', 'unknown', '::1'])
    assert.equal(ranges.has(outside), false, outside);
  assert.equal(parseRanges('0.0.0.0/0').has('8.8.8.8'), true);
  assert.equal(parseRanges('0.0.0.0/0').has('::1'), false);
  assert.equal(parseRanges(' ').empty, true);
});

test('a list that is none says which entry', () => {
  for (const text of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', 'proxy', '::/129', '10.0.0.0/8/8', '1.2.3'])
    assert.throws(() => parseRanges(`127.0.0.1, ${text}`), AddressProblem, text);
});

test('the client is read from the right, through trusted proxies only', () => {
  const trusted = parseRanges('127.0.0.1, 10.0.0.0/8, ::1');
  const table: [peer: string, forwarded: string, expected: string][] = [
    ['203.0.113.9', '', '203.0.113.9'],
    ['203.0.113.9', '1.1.1.1', '203.0.113.9'],
    ['127.0.0.1', '', '127.0.0.1'],
    ['::ffff:127.0.0.1', '198.51.100.4', '198.51.100.4'],
    ['127.0.0.1', '6.6.6.6, 198.51.100.4', '198.51.100.4'],
    ['127.0.0.1', '6.6.6.6, 198.51.100.4, 10.2.3.4', '198.51.100.4'],
    ['127.0.0.1', '10.9.9.9, 10.2.3.4', '10.9.9.9'],
    ['127.0.0.1', '6.6.6.6,unknown,10.2.3.4', ''],
    ['127.0.0.1', '198.51.100.4:8080', '198.51.100.4'],
    ['127.0.0.1', '"[2001:db8::7]:443"', '2001:db8::7'],
    ['127.0.0.1', '2001:db8::7', '2001:db8::7'],
    ['127.0.0.1', ', , 198.51.100.4 ,', '198.51.100.4'],
    ['', '198.51.100.4', ''],
  ];
  for (const [peer, forwarded, expected] of table)
    assert.equal(clientAddress(peer, forwarded, trusted), expected, `${peer} ${forwarded}`);
  assert.equal(clientAddress('127.0.0.1', '6.6.6.6', parseRanges('')), '127.0.0.1');
});

test('a forged header of thousands of entries ends soon', () => {
  const trusted = parseRanges('10.0.0.0/8');
  assert.equal(clientAddress('10.0.0.1', `6.6.6.6${', 10.0.0.1'.repeat(100_000)}`, trusted), '10.0.0.1');
});
