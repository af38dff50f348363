/** Live prices of a tickcast service, for pages: one stream for all that a page, and a browser, shows. */

export { compareDecimals, formatDecimal } from './decimal.js'
export type {
  DefaultField,
  Field,
  FullPrice,
  Gap,
  Notice,
  Price,
  Problem,
  Rejected,
} from './events.js'
export { RefusedError, type Reason, type ReasonCode, type Status } from './status.js'
export type { GetTicket } from './stream.js'
export { configure, subscribe, type StreamOptions, type SubscribeOptions, type Subscription } from './subscribe.js'
