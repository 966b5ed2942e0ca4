//! Every exported name. The help of each stands where its series are made.

macro_rules! names {
    ($($(#[doc = $doc:literal])* $constant:ident = $name:literal;)*) => {
        $($(#[doc = $doc])* pub const $constant: &str = $name;)*

        /// All of them.
        pub const ALL: &[&str] = &[$($constant,)*];
    };
}

names! {
    /// Connections that were let in (`ok`) or not (`deny`).
    CONNECTIONS = "smtpd_connections_total";
    /// Open connections.
    CONNECTIONS_OPEN = "smtpd_connections_open";
    /// The most connections that may be open.
    CONNECTIONS_LIMIT = "smtpd_connections_limit";
    /// Sessions that ended, by `status`: `clean`, `gave-up`, `denied`.
    SESSIONS_ENDED = "smtpd_sessions_ended_total";
    /// Answers that accepted or refused, by `result` and `reason`.
    ANSWERS = "smtpd_answers_total";
    /// Logins tried, by `outcome` and `mechanism`.
    LOGINS = "smtpd_logins_total";
    /// Senders and recipients checked, by `outcome`.
    ADDRESSES_CHECKED = "smtpd_addresses_checked_total";
    /// What happened to sessions in words, by `event`.
    SESSION_EVENTS = "smtpd_session_events_total";
    /// What blocklists said of clients, by `result` and `source`: only those of source `query` were queries.
    BLOCKLIST_QUERIES = "smtpd_blocklist_queries_total";
    /// Queries that were made in the zone's current period, by `zone`; those for a list's text and for tests are among them.
    BLOCKLIST_BUDGET_USED = "smtpd_blocklist_budget_used";
    /// Queries that the zone allows in a period, by `zone`; absent where the settings do not say.
    BLOCKLIST_BUDGET_LIMIT = "smtpd_blocklist_budget_limit";
    /// 1 while the zone is left alone because it refused or did not answer, by `zone`.
    BLOCKLIST_RESTING = "smtpd_blocklist_resting";
    /// Verdicts that are remembered.
    BLOCKLIST_VERDICTS = "smtpd_blocklist_verdicts";
    /// Length of accepted messages.
    MESSAGE_BYTES = "smtpd_message_bytes";
    /// Messages that came into the queue (`new`), left it (`end`) or made a bounce (`bounce`).
    QUEUE_MESSAGES = "smtpd_queue_messages_total";
    /// Deliveries that ended, by `outcome`.
    DELIVERIES = "smtpd_deliveries_total";
    /// Deliveries under way, by `channel`.
    DELIVERIES_OPEN = "smtpd_deliveries_open";
    /// Facts that could not be written to the journal.
    JOURNAL_ERRORS = "smtpd_journal_errors_total";
    /// Facts that were not sent to the log's socket.
    JOURNAL_SOCKET_LOST = "smtpd_journal_socket_lost_total";
    /// Whether somebody listens at the log's socket.
    JOURNAL_SOCKET_CONNECTED = "smtpd_journal_socket_connected";
    /// 1, with the version that runs as a label.
    BUILD_INFO = "smtpd_build_info";
    /// How long sessions last.
    SESSION_SECONDS = "smtpd_session_seconds";
    /// Answers by the first digit of their code, `class`: `2xx`, `3xx`, `4xx`, `5xx`.
    REPLIES = "smtpd_replies_total";
    /// Messages that were taken, by `encryption`: `none`, `starttls`, `tls`.
    MESSAGES_TAKEN = "smtpd_messages_taken_total";
    /// How long the stages of sessions take, by `stage`.
    STAGE_SECONDS = "smtpd_stage_seconds";
}
