import { Counter, Gauge, Registry } from 'prom-client';

export interface Reading {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metrics {
  /** A figure read when it is scraped: nothing is counted twice, and the hot path only moves plain numbers. */
  counter(name: string, help: string, read: () => readonly Reading[]): void;
  gauge(name: string, help: string, read: () => readonly Reading[]): void;
  /** Prometheus text exposition format 0.0.4. */
  text(): Promise<string>;
  readonly contentType: string;
}

export function makeMetrics(): Metrics {
  const registry = new Registry();
  return {
    counter(name, help, read) {
      const figure: Counter = new Counter({
        name,
        help,
        labelNames: labelNames(read()),
        registers: [registry],
        collect() {
          figure.reset();
          for (const { labels, value } of read()) figure.inc({ ...labels }, value);
        },
      });
    },
    gauge(name, help, read) {
      const figure: Gauge = new Gauge({
        name,
        help,
        labelNames: labelNames(read()),
        registers: [registry],
        collect() {
          figure.reset();
          for (const { labels, value } of read()) figure.set({ ...labels }, value);
        },
      });
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

function labelNames(readings: readonly Reading[]): string[] {
  return [...new Set(readings.flatMap(({ labels }) => Object.keys(labels ?? {})))];
}
