/** What edges ask of hosts, and hosts of edges: all that an edge knows of the protocol. */
import { define } from "./call.ts";
import {
  ChannelJoinRequest,
  ChannelJoinResponse,
  ChannelTellRequest,
  ChannelTellResponse,
} from "./channel-messages.ts";
import {
  EdgeFetchRequest,
  EdgeFetchResponse,
  EdgeListRequest,
  EdgeListResponse,
  EdgeReadRequest,
  EdgeReadResponse,
  EdgeWatchRequest,
  EdgeWatchResponse,
  EdgeWriteRequest,
  EdgeWriteResponse,
  MembershipRequest,
  MembershipResponse,
  TimeRequest,
  TimeResponse,
} from "./edge-messages.ts";
export const edgeMethods = {
  membership: define(20, "membership", MembershipRequest, MembershipResponse),
  edgeRead: define(21, "edgeRead", EdgeReadRequest, EdgeReadResponse),
  edgeWrite: define(22, "edgeWrite", EdgeWriteRequest, EdgeWriteResponse),
  edgeList: define(23, "edgeList", EdgeListRequest, EdgeListResponse),
  edgeWatch: define(24, "edgeWatch", EdgeWatchRequest, EdgeWatchResponse),
  time: define(25, "time", TimeRequest, TimeResponse),
  edgeFetch: define(26, "edgeFetch", EdgeFetchRequest, EdgeFetchResponse),
  channelJoin: define(27, "channelJoin", ChannelJoinRequest, ChannelJoinResponse),
  channelTell: define(28, "channelTell", ChannelTellRequest, ChannelTellResponse),
};
