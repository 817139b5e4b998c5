export type { components, paths } from "./api.js";
export { MosaicClient, type ClientOptions, type Schemas } from "./client.js";
export { digest } from "./digest.js";
export * from "./engine.js";
export type { Nudge } from "./events.js";
export { TYPES, type AnyRecord, type EntityType, type Records } from "./model.js";
export { MosaicError, type ErrorCode } from "./problem.js";
export { exclusive, memoryTokens, webTokens, type Tokens, type TokenStore } from "./session.js";
