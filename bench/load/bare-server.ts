// The yardstick: node:http and the same GIF, from setImmediate, and nothing else.
import { createServer } from 'node:http';
import { serveBench } from './bench-server.ts';

const gif = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==', 'base64');
const headers = { 'Content-Type': 'image/gif', 'Content-Length': gif.length, 'Cache-Control': 'no-store' };

const server = createServer((_, res) => {
  setImmediate(() => {
    res.writeHead(200, headers);
    res.end(gif);
  });
});
server.listen(0, '127.0.0.1', () => serveBench(server));
