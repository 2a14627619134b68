// A mail server in a process of its own that takes every mail and keeps none but the first. Says its port, then that mail.
import { SMTPServer } from 'smtp-server';

let first = true;
const server = new SMTPServer({
  authOptional: true,
  hideSTARTTLS: true,
  allowInsecureAuth: true,
  disableReverseLookup: true,
  onAuth: (_auth, _session, callback) => callback(null, { user: 'bench' }),
  onData(stream, _session, callback) {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => {
      if (first) chunks.push(chunk);
    });
    stream.once('end', () => {
      if (first) process.send?.({ mail: Buffer.concat(chunks).toString('base64') });
      first = false;
      callback(null, 'taken');
    });
  },
});
server.listen(0, '127.0.0.1', () => {
  const address = server.server.address();
  process.send?.({ port: typeof address === 'object' && address ? address.port : 0 });
});
process.once('disconnect', () => process.exit());
