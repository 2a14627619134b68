// Readers in a process of their own: they ask for pixels and links at an even rate, whether or not earlier requests were
// answered, until they are told to stop.
import { connect, type Socket } from 'node:net';
import { answerParent } from './child.ts';

export interface Reading {
  readonly port: number;
  readonly paths: readonly string[];
  readonly perSecond: number;
}

/** Of each answer: the moment for which its request was planned, Unix milliseconds, and the milliseconds from then. */
export type Answers = readonly (readonly [planned: number, took: number])[];

interface Reader {
  readonly socket: Socket;
  /** Null while it waits for nothing. */
  planned: number | null;
  text: string;
}

const CONNECTIONS = 16;
const answers: [number, number][] = [];
let wrong = '';
let stop = (): void => {};

answerParent({
  start({ port, paths, perSecond }: Reading) {
    const requests = paths.map(requestFor);
    const idle: Reader[] = Array.from({ length: CONNECTIONS }, () => newReader(port, (reader) => idle.push(reader)));
    const began = performance.now();
    let made = 0;
    const timer = setInterval(() => {
      for (; made < ((performance.now() - began) * perSecond) / 1000; made++) {
        const reader = idle.shift(); // in turn: none is silent for so long that the service closes it
        if (reader === undefined) return; // its planned moment stays
        reader.planned = began + (made * 1000) / perSecond;
        reader.text = '';
        reader.socket.write(requests[made % requests.length] ?? '');
      }
    }, 1);
    stop = () => clearInterval(timer);
  },
  /** Everything that was answered since it was asked last. */
  answers(): Answers {
    if (wrong !== '') throw new Error(wrong);
    return answers.splice(0);
  },
  stop: () => stop(),
});

function newReader(port: number, free: (reader: Reader) => void): Reader {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const reader: Reader = { socket, planned: null, text: '' };
  socket.on('error', (error) => {
    wrong = String(error);
  });
  socket.on('close', () => {
    wrong ||= 'the service closed a connection';
  });
  socket.on('data', (chunk: Buffer) => {
    reader.text += chunk.toString('latin1');
    const head = reader.text.indexOf('\r\n\r\n') + 4;
    if (head < 4 || reader.planned === null) return;
    const length = Number(/^content-length: (\d+)/im.exec(reader.text)?.[1]);
    if (reader.text.length < head + length) return;
    if (!/^HTTP\/1\.1 (200|302) /.test(reader.text)) wrong = reader.text.slice(0, 100);
    answers.push([performance.timeOrigin + reader.planned, performance.now() - reader.planned]);
    reader.planned = null;
    free(reader);
  });
  return reader;
}

function requestFor(path: string, index: number): Buffer {
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: t.example.com\r\n` +
      'User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Mail/16.0\r\n' +
      'Accept: image/webp,image/avif,image/*;q=0.8,*/*;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n' +
      `Accept-Language: en-GB\r\nX-Forwarded-For: 198.51.100.${100 + (index % 150)}\r\n\r\n`,
  );
}
