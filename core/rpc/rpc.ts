/**
 * All methods of a host. An edge has its own (`edge-methods.ts`), so that a page that is one loads no more.
 */
import { define } from "./call.ts";
import { edgeMethods } from "./edge-methods.ts";
import {
  ChangesRequest,
  ChangesResponse,
  CommitReapRequest,
  CommitReapResponse,
  CompareKeysRequest,
  CompareKeysResponse,
  CompareLeavesRequest,
  CompareLeavesResponse,
  CompareRequest,
  CompareResponse,
  CoversRequest,
  CoversResponse,
  ExchangeRequest,
  ExchangeResponse,
  FetchRequest,
  FetchResponse,
  HandOffRequest,
  HandOffResponse,
  HeardRequest,
  HeardResponse,
  ListRequest,
  ListResponse,
  PrepareReapRequest,
  PrepareReapResponse,
  ReadRequest,
  ReadResponse,
  ReplicateRequest,
  ReplicateResponse,
  ScanRequest,
  ScanResponse,
  SwapRequest,
  SwapResponse,
  WriteRequest,
  WriteResponse,
} from "./messages.ts";

export { call, callEncoded, encodeCall, type Method, notAwaited, type Restart, RpcServer, tell } from "./call.ts";

/** Among hosts: exchange to commitReap. For clients, and among hosts on their behalf: write to changes. */
export const methods = {
  exchange: define(1, "exchange", ExchangeRequest, ExchangeResponse),
  replicate: define(2, "replicate", ReplicateRequest, ReplicateResponse),
  fetch: define(3, "fetch", FetchRequest, FetchResponse),
  scan: define(4, "scan", ScanRequest, ScanResponse),
  compare: define(5, "compare", CompareRequest, CompareResponse),
  compareLeaves: define(6, "compareLeaves", CompareLeavesRequest, CompareLeavesResponse),
  compareKeys: define(7, "compareKeys", CompareKeysRequest, CompareKeysResponse),
  swap: define(8, "swap", SwapRequest, SwapResponse),
  handOff: define(9, "handOff", HandOffRequest, HandOffResponse),
  covers: define(10, "covers", CoversRequest, CoversResponse),
  heard: define(11, "heard", HeardRequest, HeardResponse),
  prepareReap: define(14, "prepareReap", PrepareReapRequest, PrepareReapResponse),
  commitReap: define(15, "commitReap", CommitReapRequest, CommitReapResponse),
  write: define(16, "write", WriteRequest, WriteResponse),
  read: define(17, "read", ReadRequest, ReadResponse),
  list: define(18, "list", ListRequest, ListResponse),
  changes: define(19, "changes", ChangesRequest, ChangesResponse),
  ...edgeMethods,
};
