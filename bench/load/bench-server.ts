import type { Server } from 'node:http';

/** Tells the bench the port, answers every question with the CPU time used so far (µs) and ends with its parent. */
export function serveBench(server: Server): void {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpu: user + system });
  });
  process.on('disconnect', () => process.exit());
}
