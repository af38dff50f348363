// Replaced by what openapi-typescript makes of the server's /openapi.json.

type Decimal = string | null

export interface components {
  schemas: {
    Price: {
      symbol: string
      price: Decimal
      bid: Decimal
      ask: Decimal
      bid_size: Decimal
      ask_size: Decimal
      spread: Decimal
      mid: Decimal
      last: Decimal
      last_size: Decimal
      open: Decimal
      high: Decimal
      low: Decimal
      volume: Decimal
      prev_close: Decimal
      change: Decimal
      change_pct: Decimal
      currency: string
      class: 'crypto' | 'stock'
      venue: string | null
      sources: { venue: string; price: Decimal; age_ms: number | null; used: boolean; reason?: string }[]
      session: 'open' | 'pre' | 'post' | 'closed' | 'halted' | 'unknown'
      status: 'live' | 'degraded' | 'stale' | 'closed' | 'halted'
      time: number
      event_us: number
      recv_us: number
      sent_us: number
      version: number
    }
    Hello: {
      symbols: Record<string, string>
      rejected: { symbol: string; code: string; suggestions?: string[] }[]
      throttle_ms: number
      fields: string[]
      mode: 'latest' | 'ticks'
      heartbeat_ms: number
      resumed: boolean
      limits: Record<string, number | null>
      server: string
      time: number
    }
    Hb: { time: number }
    Gap: { symbol: string | null; cause: string; through?: string; after?: string; venue?: string; missing?: number }
    Notice: { code: string; in_ms?: number }
    Fault: { code: string; retry_ms: number; limit?: number; scope?: string }
    Bye: { reason: string; retry_ms: number }
    Problem: {
      type: string
      title: string
      status: number
      detail?: string
      parameter?: string
      value?: string
      expected?: string
      suggestions?: string[]
    }
  }
}
