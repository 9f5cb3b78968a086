//! What the tables say that each PID is.

use serde::{Deserialize, Serialize};

use super::super::{
    MAX_STREAMS, PAT_PID, Stats,
    packet::Packet,
    psi::{self, EsInfo, Programs, Sections},
};
use crate::track::TrackKind;

/// A stream of pictures or sound.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) info: EsInfo,
    pub(super) kind: TrackKind,
    /// Its number on the timeline: that of its role, so that it keeps that number when its PID changes.
    pub(super) number: usize,
}

/// The streams of one program, as its PMT in force says: the first program whose PMT names pictures or sound, like
/// [`Demuxer`](super::super::Demuxer)'s.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Roles {
    pat: Sections,
    /// By PID.
    pmts: Vec<(u16, Sections)>,
    programs: Programs,
    /// The number of the program that is taken.
    chosen: Option<u16>,
    /// The PMT section in force, to see whether the next one says anything new.
    program: Vec<u8>,
    streams: Vec<Stream>,
}

impl Roles {
    pub(super) fn is_table(&self, pid: u16) -> bool {
        pid == PAT_PID || self.programs.list().iter().any(|program| program.pid == pid)
    }

    /// What a PID is now.
    pub(super) fn of(&self, pid: u16) -> Option<Stream> {
        self.streams.iter().find(|stream| stream.info.pid == pid).copied()
    }

    /// Takes a packet of a table.
    pub(super) fn take(&mut self, packet: &Packet<'_>, payload: &[u8]) {
        let mut stats = Stats::default();
        if packet.pid == PAT_PID {
            let (programs, mut changed) = (&mut self.programs, false);
            self.pat
                .push(payload, packet.unit_start, &mut stats, |section| changed |= programs.take(section));
            if changed {
                let programs = self.programs.list();
                self.pmts.retain(|(pid, _)| programs.iter().any(|program| program.pid == *pid));
                self.chosen = self
                    .chosen
                    .filter(|chosen| programs.iter().any(|program| program.number == *chosen));
            }
            return;
        }
        let at = self.pmts.iter().position(|(pid, _)| *pid == packet.pid).unwrap_or_else(|| {
            self.pmts.push((packet.pid, Sections::default()));
            self.pmts.len() - 1
        });
        let (chosen, program, streams) = (&mut self.chosen, &mut self.program, &mut self.streams);
        self.pmts[at].1.push(payload, packet.unit_start, &mut stats, |section| {
            let number = psi::program_number(section);
            if number.is_none() || (chosen.is_some() && *chosen != number) {
                return;
            }
            if section == program {
                // One that the PAT left out for a while is the one that is taken, again.
                *chosen = number;
                return;
            }
            let Some(found) = psi::streams(section).map(roles) else { return };
            if chosen.is_none() && found.is_empty() {
                return;
            }
            *chosen = number;
            *program = section.to_vec();
            *streams = found;
        });
    }
}

/// The first video of one PMT and of the next are the same track.
fn roles(infos: Vec<EsInfo>) -> Vec<Stream> {
    let mut counts = [(TrackKind::Video, 0_usize), (TrackKind::Audio, 0)];
    let streams = infos.into_iter().filter_map(|info| {
        let kind = info.coding.kind()?;
        let (_, place) = counts.iter_mut().find(|(counted, _)| *counted == kind)?;
        let number = *place * 2 + usize::from(kind == TrackKind::Audio);
        *place += 1;
        Some(Stream { info, kind, number })
    });
    streams.take(MAX_STREAMS).collect()
}
