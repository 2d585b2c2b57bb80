// Shapes of answers about ends of processes and events of hosts, as `server/src/api/v1/openapi.json` describes them.

/** What is to blame: of each kind other fields are known. */
export interface Blamed {
  kind: string; pid?: number; comm?: string; path?: string; peer?: string; unit?: string; function?: string; line?: string; call?: string; limit?: string; name?: string;
}
export type ProofKind = 'kernel' | 'abort' | 'stack' | 'syscall' | 'log' | 'limit' | 'change';
/** Times in ns are numbers or decimal text; 0: not known. */
export interface Proof { kind: ProofKind; text: string; at_ns: number | string; ref: string }
export interface End {
  host: string; at: string; id: string;
  process: { pid: number; start_ns: number | string; comm: string; exe: string; cmdline: string; unit: string | null; container: string | null };
  ended: { at_ns: number | string; kind: 'exit' | 'signal' | 'oom'; code: number | null; signal: number | null; core: boolean; by: { pid: number; comm: string; uid: number } | null };
  cause: { class: string; subject: Blamed; text: string; confidence: number };
  evidence: Proof[];
  ruled_out: { class: string; why_not: string }[];
  loop: { count: number; span_s: number } | null;
}
export interface Ends { from: string; to: string; postmortems: End[]; more: boolean }

/** `explains`: classes of findings. */
export interface HostEvent {
  host: string; at: string; class: string; severity: string; subject: string | { kind?: string; name?: string; pid?: number }; text: string; count: number; explains: string[];
}
export interface Events { from: string; to: string; events: HostEvent[]; more: boolean }
