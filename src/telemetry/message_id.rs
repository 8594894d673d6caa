//! The kinds of events that an operator greps for, each with the `MESSAGE_ID` under which the journal's catalog
//! (`packaging/keepstart.catalog`) explains it. Pure.

/// A kind of event with a text in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageId {
    /// A role has changed.
    Transition,
    /// All that a change of role has caused is complete.
    Complete,
    /// A start or stop script has failed.
    ActionFailed,
    /// An action has taken longer than its timeout and was ended.
    TimedOut,
    /// The kernel has dropped notifications, and the addresses are read anew.
    Resynchronized,
    /// A new configuration is in force.
    Reloaded,
}

impl MessageId {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Transition,
        Self::Complete,
        Self::ActionFailed,
        Self::TimedOut,
        Self::Resynchronized,
        Self::Reloaded,
    ];

    /// The number, which the journal writes as 32 hexadecimal digits: random, made once by
    /// `systemd-id128 new`, and never changed, because people's searches and alarms name it.
    pub const fn number(self) -> u128 {
        match self {
            Self::Transition => 0xc746_d48c_a6fd_431a_adb7_fa6e_5e34_790b,
            Self::Complete => 0x327d_c9e7_cb49_4db9_aff6_a9f4_e04f_62ad,
            Self::ActionFailed => 0x6955_b6ef_79e1_41e8_ad29_0382_8435_0608,
            Self::TimedOut => 0xabfc_e31c_c995_43c8_ba4a_f5fe_c3ed_6fa5,
            Self::Resynchronized => 0x50e3_c366_4da0_43dd_a916_b66e_332f_29d6,
            Self::Reloaded => 0x0473_48ec_1a36_4520_8b72_9ad8_a95e_f595,
        }
    }
}
