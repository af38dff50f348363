// Made by `npm run generate:types` from the service's /openapi.json. Not written by hand.

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description The server ends the stream: come back after `retry_ms`, which the `retry` line says too. */
        Bye: {
            reason: components["schemas"]["ByeReason"];
            /** @description ms to wait. */
            retry_ms: number;
        };
        /**
         * @description Why the server ends a stream.
         * @enum {string}
         */
        ByeReason: "draining" | "credential_expired" | "credential_revoked" | "credential_changed";
        /**
         * @description What a symbol is a name of.
         * @enum {string}
         */
        Class: "crypto" | "stock";
        /**
         * @description A place in the stream: everything at or below it has been passed
         * @example 7f3a.8812
         */
        Cursor: string;
        /**
         * @description A decimal with all its digits, as text: no exponent, no rounding on the way
         * @example 67012.34
         */
        Decimal: string;
        /** @description What the `data` of each event is, once read as JSON, by the name of the event. Never sent as a whole: for generators of types */
        EventData: {
            message: components["schemas"]["PriceMessage"];
            hello: components["schemas"]["Hello"];
            hb: components["schemas"]["Heartbeat"];
            gap: components["schemas"]["Gap"];
            notice: components["schemas"]["Notice"];
            fault: components["schemas"]["Fault"];
            bye: components["schemas"]["Bye"];
        };
        /** @description The request is refused for now, and the stream ends: come back after `retry_ms`, which the `retry` line says too. */
        Fault: {
            code: components["schemas"]["RefusalCode"];
            /** @description ms to wait. */
            retry_ms: number;
            /** @description The limit that was reached, where it is a number. */
            limit: number | null;
            scope: components["schemas"]["LimitScope"];
        };
        /**
         * @description The name of a field of price messages
         * @enum {string}
         */
        Field: "symbol" | "price" | "bid" | "ask" | "bid_size" | "ask_size" | "spread" | "mid" | "last" | "last_size" | "open" | "high" | "low" | "volume" | "prev_close" | "change" | "change_pct" | "currency" | "class" | "venue" | "sources" | "session" | "status" | "time" | "event_us" | "recv_us" | "sent_us" | "version";
        /** @description Trades (mode `ticks`) or bars that this stream does not have. */
        Gap: {
            /** @description `null`: of any of the stream's symbols. */
            symbol: string | null;
            cause: components["schemas"]["GapCause"];
            /** @description The last id before the hole, where there is one. */
            after?: components["schemas"]["Cursor"];
            /** @description The id up to which trades may be missing. Of bars there is none. */
            through?: components["schemas"]["Cursor"];
            /** @description Whose trades they are, where it is one venue's. */
            venue?: string;
            /** @description How many are missing, where that is known. */
            missing?: number;
            /** @description Of bars: how long they last. */
            interval?: components["schemas"]["Interval"];
            /** @description Of bars: the last one that is missing, by its `time`. */
            through_time?: number;
        };
        /**
         * @description Why trades are missing.
         * @enum {string}
         */
        GapCause: "overflow" | "feed" | "unknown_cursor" | "candles";
        /** @description The stream is there, and has passed its `id`. */
        Heartbeat: {
            /** @description The server's clock, ms since 1970. */
            time: number;
        };
        /** @description The first event of a stream: what the client gets, and what of its wishes it doesn't. */
        Hello: {
            /** @description Each name as it was asked for, and the symbol that messages have for it. */
            symbols: {
                [key: string]: string;
            };
            /** @description What was asked for and is not followed. */
            rejected: components["schemas"]["Rejected"][];
            /** @description The least time between two flushes of the stream. */
            throttle_ms: number;
            /** @description The fields of its messages, in their order. */
            fields: components["schemas"]["Field"][];
            mode: components["schemas"]["Mode"];
            /** @description The interval of its bars, where it has any. */
            candles?: components["schemas"]["Interval"];
            /** @description Between two `hb` events; 0: none. */
            heartbeat_ms: number;
            /** @description Whether it goes on from the cursor that was sent. */
            resumed: boolean;
            limits: components["schemas"]["StreamLimits"];
            /** @description The plan of who asks, where it has one. */
            plan?: string;
            /** @description How long the credential is good, where it has an end. */
            expires_in_ms?: number;
            /** @description Which server this is, and its version. */
            server: string;
            /** @description The server's clock, ms since 1970. */
            time: number;
        };
        /**
         * @description How long a bar lasts.
         * @enum {string}
         */
        Interval: "1s" | "1m" | "5m" | "1h" | "1d";
        /**
         * @description Whose limit.
         * @enum {string}
         */
        LimitScope: "client" | "key" | "node";
        /**
         * @description What a stream sends: the newest, or every trade.
         * @enum {string}
         */
        Mode: "latest" | "ticks";
        /** @description Something about this stream changed; it goes on. */
        Notice: {
            /** @description Messages in a second that all streams of the client have together. */
            limit: number | null;
            scope: components["schemas"]["LimitScope"];
            /** @enum {string} */
            code: "messages_per_second";
        } | {
            /** @description Bytes in a second that all streams of the client have together. */
            limit: number | null;
            scope: components["schemas"]["LimitScope"];
            /** @enum {string} */
            code: "bytes_per_second";
        } | {
            /** @description Followed from now on: each name as it was asked, with its symbol, as in `hello.symbols`. */
            added: {
                [key: string]: string;
            };
            /** @description Symbols that are not in the catalogue any more. */
            removed: string[];
            /** @enum {string} */
            code: "symbols";
        } | {
            /** @description ms until then. */
            in_ms: number;
            /** @enum {string} */
            code: "credential_expiring";
        };
        /** @description The whole state of a symbol, as far as it was asked for: the fields that `fields` names, in this order */
        PriceMessage: {
            /** @description The catalogue's name; in every message */
            symbol: string;
            /** @description What the symbol costs now, by the instrument's rule; null before the first price */
            price?: null | components["schemas"]["Decimal"];
            /** @description Best bid of the venue that made the price */
            bid?: null | components["schemas"]["Decimal"];
            /** @description Best offer of the venue that made the price */
            ask?: null | components["schemas"]["Decimal"];
            /** @description Size of the best bid */
            bid_size?: null | components["schemas"]["Decimal"];
            /** @description Size of the best offer */
            ask_size?: null | components["schemas"]["Decimal"];
            /** @description Ask minus bid; null while they cross */
            spread?: null | components["schemas"]["Decimal"];
            /** @description Half-way between bid and ask; null while they cross */
            mid?: null | components["schemas"]["Decimal"];
            /** @description Last eligible trade */
            last?: null | components["schemas"]["Decimal"];
            /** @description Size of the last eligible trade */
            last_size?: null | components["schemas"]["Decimal"];
            /** @description First price of the last 24 h (crypto) or of the session (stock) */
            open?: null | components["schemas"]["Decimal"];
            /** @description Highest price of the last 24 h (crypto) or of the session (stock) */
            high?: null | components["schemas"]["Decimal"];
            /** @description Lowest price of the last 24 h (crypto) or of the session (stock) */
            low?: null | components["schemas"]["Decimal"];
            /** @description Volume of the last 24 h (crypto) or of the session (stock) */
            volume?: null | components["schemas"]["Decimal"];
            /** @description The price 24 h ago (crypto) or the last official close (stock) */
            prev_close?: null | components["schemas"]["Decimal"];
            /** @description The price minus `prev_close` */
            change?: null | components["schemas"]["Decimal"];
            /** @description `change` in percent of `prev_close`, with two decimals */
            change_pct?: null | components["schemas"]["Decimal"];
            /** @description What the price is in */
            currency?: string;
            /** @description What kind of instrument it is */
            class?: components["schemas"]["Class"];
            /** @description Who made the price; null before the first price */
            venue?: string | null;
            /** @description What each source says, and whether it counts */
            sources?: components["schemas"]["Source"][];
            /** @description Where the market is in its day */
            session?: components["schemas"]["Session"];
            /** @description Whether the price can be relied on */
            status?: components["schemas"]["Status"];
            /** @description The venue's clock, ours where it gives none, in ms since 1970; null before the first tick */
            time?: number | null;
            /** @description The venue's clock, in µs since 1970; null where it gives none */
            event_us?: number | null;
            /** @description Our clock when the frame was read whole, in µs since 1970; null before the first tick */
            recv_us?: number | null;
            /** @description Our clock when the message was written, in µs since 1970 */
            sent_us?: number;
            /** @description The number in the message's id */
            version?: number;
        };
        /** @description Why a request is not answered as asked (RFC 9457). */
        Problem: {
            type: components["schemas"]["ProblemType"];
            /** @description What the kind is. */
            title: string;
            /** @description The answer's status. */
            status: number;
            /** @description What was wrong this time, and what to do. */
            detail: string;
            /** @description The parameter it is about. */
            parameter?: string;
            /** @description What was given for it, cut to a length that fits. */
            value?: string;
            /** @description What would work. */
            expected?: string;
            /** @description What was probably meant, the likeliest first. */
            suggestions?: string[];
        };
        /**
         * @description What kind of problem it is
         * @enum {string}
         */
        ProblemType: "urn:tickcast:problem:unknown-parameter" | "urn:tickcast:problem:bad-value" | "urn:tickcast:problem:malformed-encoding" | "urn:tickcast:problem:bad-body" | "urn:tickcast:problem:no-symbols" | "urn:tickcast:problem:too-many-symbols" | "urn:tickcast:problem:query-credential-off" | "urn:tickcast:problem:no-credential" | "urn:tickcast:problem:bad-credential" | "urn:tickcast:problem:expired-credential" | "urn:tickcast:problem:not-entitled" | "urn:tickcast:problem:unknown-symbol" | "urn:tickcast:problem:no-tickets" | "urn:tickcast:problem:no-such-route" | "urn:tickcast:problem:method-not-allowed" | "urn:tickcast:problem:body-too-slow" | "urn:tickcast:problem:body-too-large" | "urn:tickcast:problem:url-too-long" | "urn:tickcast:problem:too-many-headers" | "urn:tickcast:problem:rate-limited" | "urn:tickcast:problem:too-many-streams" | "urn:tickcast:problem:too-many-tickets" | "urn:tickcast:problem:too-many-bad-credentials" | "urn:tickcast:problem:overloaded" | "urn:tickcast:problem:draining";
        /**
         * @description Kinds of refusal.
         * @enum {string}
         */
        RefusalCode: "rate_limited" | "too_many_streams" | "too_many_tickets" | "too_many_bad_credentials" | "overloaded" | "draining";
        /** @description A name that is not followed. */
        Rejected: {
            /** @description As it was asked for, cut to a length that fits. */
            symbol: string;
            code: components["schemas"]["RejectedCode"];
            /** @description Symbols that were probably meant. */
            suggestions: string[];
        };
        /**
         * @description Why a name is not followed.
         * @enum {string}
         */
        RejectedCode: "unknown_symbol" | "not_entitled";
        /**
         * @description Where a market is in its day.
         * @enum {string}
         */
        Session: "pre" | "open" | "post" | "closed" | "halted" | "unknown";
        /** @description What one venue says, and whether it counts */
        Source: {
            /** @description Whose word it is */
            venue: string;
            /** @description Its price; null before its first */
            price: null | components["schemas"]["Decimal"];
            /** @description ms since its newest tick; null before the first */
            age_ms: number | null;
            /** @description Whether it makes the price, alone or with others */
            used: boolean;
            /** @description Why not, where it does not */
            reason?: components["schemas"]["SourcePart"];
        };
        /**
         * @description A source's part in the price.
         * @enum {string}
         */
        SourcePart: "used" | "standby" | "settling" | "outlier" | "stale" | "down" | "no_price";
        /**
         * @description Whether a price can be relied on.
         * @enum {string}
         */
        Status: "live" | "degraded" | "stale" | "closed" | "halted";
        /** @description What the client may have. */
        StreamLimits: {
            /** @description Streams open at once. */
            streams_per_client: number;
            /** @description Streams opened in a minute. */
            opens_per_minute: number;
            /** @description Messages in a second, over all its streams; null: as many as there are. */
            messages_per_second: number | null;
            bytes_per_second?: number | null;
            /** @description Symbols on one stream. */
            symbols_max: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
