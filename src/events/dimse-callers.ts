/** Who may call by DICOM: AE titles with the addresses they call from. A title alone proves nothing, so the address is asked as well. */
import { BlockList, isIP } from 'node:net';

export type Caller = {
  /** `*` is any. */
  readonly aeTitle: string;
  /** An address, a network such as 10.1.0.0/16, or `*` for any. */
  readonly from: string;
};

/** `TITLE@ADDRESS`; undefined when it is not of that form. */
export function callerOf(text: string): Caller | undefined {
  const [, aeTitle = '', from = ''] = /^([^@\\\s]{1,16})@(\S+)$/.exec(text.trim()) ?? [];
  if (aeTitle === '' || (from !== '*' && networkOf(from) === undefined)) return undefined;
  return { aeTitle, from };
}

export type AllowedCallers = {
  /** Somebody may call from there. */
  knows(address: string): boolean;
  allows(aeTitle: string, address: string): boolean;
};

export function allowedCallers(callers: readonly Caller[]): AllowedCallers {
  const rules = callers.map(({ aeTitle, from }) => ({ aeTitle, matches: matcher(from) }));
  return {
    knows: (address) => rules.some(({ matches }) => matches(plain(address))),
    allows: (aeTitle, address) =>
      rules.some((rule) => (rule.aeTitle === '*' || rule.aeTitle === aeTitle) && rule.matches(plain(address))),
  };
}

function matcher(from: string): (address: string) => boolean {
  const network = networkOf(from);
  if (network === undefined) return () => from === '*';
  const list = new BlockList();
  list.addSubnet(network.address, network.bits, network.family);
  return (address) => isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

function networkOf(text: string): { address: string; bits: number; family: 'ipv4' | 'ipv6' } | undefined {
  const [address = '', bits] = text.split('/', 2);
  const version = isIP(address);
  if (version === 0 || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return undefined;
  const most = version === 6 ? 128 : 32;
  const given = bits === undefined ? most : Number(bits);
  return given > most ? undefined : { address, bits: given, family: version === 6 ? 'ipv6' : 'ipv4' };
}

/** A socket that listens on all addresses calls 10.1.2.3 `::ffff:10.1.2.3`. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
