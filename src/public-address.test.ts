import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRanges } from './addresses.ts';
import { type AddressPolicy, judgeAddress } from './public-address.ts';

const closed = { allowLoopback: false, allowPrivateTargets: parseRanges('') };
const open = { allowLoopback: true, allowPrivateTargets: parseRanges('0.0.0.0/0, ::/0') };

const TABLE: readonly (readonly [address: string, closed: string, open: string])[] = [
  ['8.8.8.8', 'public', 'public'],
  ['1.1.1.1', 'public', 'public'],
  ['2606:4700::1111', 'public', 'public'],
  ['::ffff:8.8.8.8', 'public', 'public'],
  ['64:ff9b::808:808', 'public', 'public'],
  ['127.0.0.1', 'blocked', 'allowed'],
  ['127.8.9.10', 'blocked', 'allowed'],
  ['::1', 'blocked', 'allowed'],
  ['::ffff:127.0.0.1', 'blocked', 'allowed'],
  ['::ffff:7f00:1', 'blocked', 'allowed'],
  ['10.0.0.1', 'blocked', 'allowed'],
  ['172.16.0.1', 'blocked', 'allowed'],
  ['172.31.255.255', 'blocked', 'allowed'],
  ['172.32.0.1', 'public', 'public'],
  ['192.168.1.1', 'blocked', 'allowed'],
  ['::ffff:10.0.0.1', 'blocked', 'allowed'],
  ['100.64.0.1', 'blocked', 'allowed'],
  ['fc00::1', 'blocked', 'allowed'],
  ['fd12:3456::1', 'blocked', 'allowed'],
  ['169.254.169.254', 'blocked', 'blocked'],
  ['::ffff:169.254.169.254', 'blocked', 'blocked'],
  ['169.254.1.1', 'blocked', 'blocked'],
  ['168.63.129.16', 'blocked', 'blocked'],
  ['100.100.100.200', 'blocked', 'blocked'],
  ['fd00:ec2::254', 'blocked', 'blocked'],
  ['::ffff:100.100.100.200', 'blocked', 'blocked'],
  ['fd00:ec2::23', 'blocked', 'blocked'], // credentials of containers
  ['fd00:ec2::253', 'blocked', 'blocked'],
  ['fd20:ce::254', 'blocked', 'blocked'],
  ['fd20:ce::255', 'blocked', 'allowed'],
  ['fd00:c1::a9fe:a9fe', 'blocked', 'blocked'],
  ['fd00:42::42', 'blocked', 'blocked'],
  ['169.254.170.2', 'blocked', 'blocked'],
  ['100.63.255.255', 'public', 'public'],
  ['100.127.255.255', 'blocked', 'allowed'],
  ['100.128.0.0', 'public', 'public'],
  ['fe80::1', 'blocked', 'blocked'],
  ['fe80::1%eth0', 'blocked', 'blocked'],
  ['fec0::1', 'blocked', 'blocked'],
  ['0.0.0.0', 'blocked', 'blocked'],
  ['0.1.2.3', 'blocked', 'blocked'],
  ['::', 'blocked', 'blocked'],
  ['::7f00:1', 'blocked', 'blocked'], // IPv4-compatible, RFC 4291 section 2.5.5.1
  ['::ffff:0:127.0.0.1', 'blocked', 'blocked'], // RFC 6145
  ['64:ff9b::7f00:1', 'blocked', 'blocked'],
  ['64:ff9b::a9fe:a9fe', 'blocked', 'blocked'],
  ['64:ff9b::a00:1', 'blocked', 'blocked'],
  ['64:ff9b::6440:1', 'blocked', 'blocked'],
  ['64:ff9b::a83f:8110', 'blocked', 'blocked'],
  ['64:ff9b::6464:64c8', 'blocked', 'blocked'],
  ['64:ff9b::0.0.0.0', 'blocked', 'blocked'],
  ['64:ff9b::e000:1', 'blocked', 'blocked'],
  ['64:ff9b::c000:201', 'blocked', 'blocked'],
  ['64:ff9b:1::808:808', 'blocked', 'blocked'],
  ['64:ff9b:1::7f00:1', 'blocked', 'blocked'],
  ['64:ff9b:1:ffff::a00:1', 'blocked', 'blocked'],
  ['2002:7f00:1::', 'blocked', 'blocked'], // 6to4
  ['2002:808:808::', 'blocked', 'blocked'],
  ['2001:0:808:808::1', 'blocked', 'blocked'], // Teredo
  ['2001:470:1f0b:1::5efe:a00:1', 'blocked', 'blocked'], // ISATAP
  ['2001:470:1f0b:1:200:5efe:808:808', 'blocked', 'blocked'],
  ['fe80::5efe:a00:1', 'blocked', 'blocked'],
  ['2001:470:1f0b:1:1:5efe:808:808', 'public', 'public'],
  ['2001:1::1', 'blocked', 'blocked'], // RFC 7723
  ['2001:2::1', 'blocked', 'blocked'],
  ['2001:20::1', 'blocked', 'blocked'],
  ['2001:30::1', 'blocked', 'blocked'],
  ['2001:200::1', 'public', 'public'],
  ['100::1', 'blocked', 'blocked'],
  ['5f00::1', 'blocked', 'blocked'],
  ['2001:db8::1', 'blocked', 'blocked'],
  ['3fff::1', 'blocked', 'blocked'],
  ['4000::1', 'blocked', 'blocked'],
  ['224.0.0.1', 'blocked', 'blocked'],
  ['255.255.255.255', 'blocked', 'blocked'],
  ['240.0.0.1', 'blocked', 'blocked'],
  ['239.255.255.250', 'blocked', 'blocked'],
  ['192.0.2.1', 'blocked', 'blocked'],
  ['198.51.100.1', 'blocked', 'blocked'],
  ['203.0.113.1', 'blocked', 'blocked'],
  ['192.88.99.1', 'blocked', 'blocked'],
  ['198.19.255.255', 'blocked', 'blocked'],
  ['198.18.0.1', 'blocked', 'blocked'],
  ['192.0.0.192', 'blocked', 'blocked'],
  ['ff02::1', 'blocked', 'blocked'],
  ['ff0e::1', 'blocked', 'blocked'],
  ['::ffff:224.0.0.1', 'blocked', 'blocked'],
  ['example.com', 'blocked', 'blocked'],
  // What an address may look like before a URL or a resolver has read it: never judged by guessing.
  ['134744072', 'blocked', 'blocked'],
  ['0x8080808', 'blocked', 'blocked'],
  ['8.8.2056', 'blocked', 'blocked'],
  ['010.8.8.8', 'blocked', 'blocked'],
  ['8.8.8.8.', 'blocked', 'blocked'],
  [' 8.8.8.8', 'blocked', 'blocked'],
  ['８.8.8.8', 'blocked', 'blocked'],
  ['[2606:4700::1111]', 'blocked', 'blocked'],
  ['2606:4700::1111%eth0', 'blocked', 'blocked'],
  ['8.8.8.8:80', 'blocked', 'blocked'],
  ['', 'blocked', 'blocked'],
];

for (const [address, whenClosed, whenOpen] of TABLE) {
  test(`${address || '(empty)'} is ${whenClosed}, ${whenOpen} where everything openable is open`, () => {
    assert.equal(judgeAddress(closed, address).kind, whenClosed);
    assert.equal(judgeAddress(open, address).kind, whenOpen);
  });
}

test('loopback is opened by a loopback URL or by being listed, never by another range', () => {
  const listed = (text: string): AddressPolicy => ({ allowLoopback: false, allowPrivateTargets: parseRanges(text) });
  assert.equal(judgeAddress(listed('10.0.0.0/8'), '127.0.0.1').kind, 'blocked');
  assert.equal(judgeAddress(listed('127.0.0.0/8'), '127.0.0.1').kind, 'allowed');
  assert.equal(judgeAddress(listed('::1'), '::1').kind, 'allowed');
  assert.equal(judgeAddress({ ...closed, allowLoopback: true }, '10.0.0.1').kind, 'blocked');
});

test('an opened network opens that network only', () => {
  const policy = { allowLoopback: false, allowPrivateTargets: parseRanges('10.1.0.0/16') };
  assert.equal(judgeAddress(policy, '10.1.2.3').kind, 'allowed');
  assert.equal(judgeAddress(policy, '::ffff:10.1.2.3').kind, 'allowed');
  assert.equal(judgeAddress(policy, '10.2.2.3').kind, 'blocked');
});
