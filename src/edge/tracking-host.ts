/** A host as a request or a setting names it. */
interface NamedHost {
  /** In lower case, without the dot at its end. */
  readonly name: string;
  /** '' for the ports that go without saying. */
  readonly port: string;
}

/** Whether a request asks the host that serves links and pixels and nothing else. */
export type AsksTrackingHost = (target: string, hostHeader: string | undefined) => boolean;

/**
 * Hosts are told apart by name, however it is written, because the port may have been changed on the way; by the port
 * only where the names are the same. Where nothing tells them apart, no host is for tracking only. `publicHost` null:
 * not known, so the port counts.
 */
export function tellTrackingHost(trackingOnlyHost: string | null, publicHost: string | null): AsksTrackingHost {
  if (trackingOnlyHost === null) return () => false;
  const tracking = readHost(trackingOnlyHost);
  const other = publicHost === null ? null : readHost(publicHost);
  const portDecides = other === null || other.name === tracking.name;
  if (portDecides && other?.port === tracking.port) return () => false;
  return (target, hostHeader) => {
    const asked = readHost(authorityOf(target) ?? hostHeader ?? '');
    return asked.name === tracking.name && (!portDecides || asked.port === tracking.port);
  };
}

/** Of an absolute-form target, which counts before the Host header (RFC 9112 section 3.2.2); user and password are not it. */
function authorityOf(target: string): string | undefined {
  if (target.startsWith('/')) return undefined;
  return /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?([^/?#@]*)/i.exec(target)?.[1];
}

function readHost(text: string): NamedHost {
  const [, name = '', port = ''] = /^\s*(\[[^\]]*\]|[^:]*)(?::(\d*))?/.exec(text) ?? [];
  const lower = name.trim().toLowerCase();
  return { name: lower.endsWith('.') ? lower.slice(0, -1) : lower, port: port === '80' || port === '443' ? '' : port };
}
