//! Several devices as one: after each step's backward pass all of them average their gradients.
//!
//! One process a device, on one machine or several. Rank 0 listens, the others connect to it; it adds what they send
//! in the order of their ranks, so that a training's numbers do not depend on the network, and sends the mean back.
//! Every process then makes the same step with the same numbers. Between CPUs and GPUs of any kind the gradients go
//! through main memory: Burn 0.22's own collective operations join CUDA devices of one process only.
//!
//! ```
//! use unils_train::exchange::{Exchange, Meeting};
//! let address = "127.0.0.1:29712".to_owned();
//! let meet = |rank| Exchange::meet(&Meeting { rank, of: 2, address: address.clone() }, 7);
//! let (hub, peer) = std::thread::scope(|scope| {
//!     let peer = scope.spawn(|| {
//!         let mut values = [1.0, 2.0];
//!         meet(1)?.mean(&mut values, false)?;
//!         unils::Result::Ok(values)
//!     });
//!     let mut values = [3.0, 6.0];
//!     meet(0)?.mean(&mut values, false)?;
//!     unils::Result::Ok((values, peer.join().unwrap()?))
//! })?;
//! assert_eq!((hub, peer), ([2.0, 4.0], [2.0, 4.0]));
//! # Ok::<(), unils::Error>(())
//! ```

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use unils::{Error, Result};

use crate::data::Shard;

/// First bytes of a peer's greeting: name and version of the protocol.
const MAGIC: [u8; 8] = *b"unilsx01";
/// How long all processes may take to come together.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a step of the slowest process may take longer than that of the fastest.
const STEP_PATIENCE: Duration = Duration::from_secs(1800);
/// Pause between two tries to connect, or to see whether somebody has.
const PAUSE: Duration = Duration::from_millis(50);
/// Most processes: more than anybody has, and no more than can be counted in a greeting.
const MOST: usize = 4096;

/// Where the processes of a training find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// Number of this process, from 0.
    pub rank: usize,
    /// Number of all.
    pub of: usize,
    /// `HOST:PORT` of rank 0.
    pub address: String,
}

/// This process's end of the exchange.
#[derive(Debug)]
pub enum Exchange {
    /// There is only one process.
    Alone,
    /// Rank 0, with a connection to each other rank, in order.
    Hub(Vec<TcpStream>),
    /// Another rank, with its connection to rank 0.
    Peer {
        /// The connection.
        hub: TcpStream,
        /// This process's number.
        rank: usize,
        /// Number of all.
        of: usize,
    },
}

impl Exchange {
    /// Comes together with the other processes. `token` must be the same for all: it stands for the training's
    /// configuration and step.
    ///
    /// # Errors
    /// [`Error::Argument`] for impossible ranks, when the others do not come in five minutes, or when one of them
    /// trains something else.
    pub fn meet(meeting: &Meeting, token: u64) -> Result<Self> {
        let Meeting { rank, of, address } = meeting;
        if !(1..=MOST).contains(of) || rank >= of {
            let what = format!("rank {rank} of {of}: ranks are counted from 0, at most {MOST}");
            return Err(Error::argument("rank", what));
        }
        match (rank, of) {
            (_, 1) => Ok(Self::Alone),
            (0, of) => gather(address, *of, token).map(Self::Hub),
            (rank, of) => Ok(Self::Peer { hub: greet(meeting, token)?, rank: *rank, of: *of }),
        }
    }

    /// This process's part of each batch.
    pub fn shard(&self) -> Shard {
        match self {
            Self::Alone => Shard { rank: 0, of: 1 },
            Self::Hub(peers) => Shard { rank: 0, of: peers.len() + 1 },
            Self::Peer { rank, of, .. } => Shard { rank: *rank, of: *of },
        }
    }

    /// Replaces `values` by their mean over all processes. `flag` is a wish to stop; the result is whether any process
    /// has it.
    ///
    /// # Errors
    /// [`Error::Argument`] when a process has left or sends another number of values.
    pub fn mean(&mut self, values: &mut [f32], flag: bool) -> Result<bool> {
        match self {
            Self::Alone => Ok(flag),
            Self::Hub(peers) => {
                let mut sums: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
                let mut any = flag;
                for (index, peer) in peers.iter_mut().enumerate() {
                    let left = |error| gone(index + 1, &error);
                    let (theirs, flag) = receive(peer, values.len()).map_err(left)?;
                    any |= flag;
                    sums.iter_mut().zip(theirs).for_each(|(sum, value)| *sum += f64::from(value));
                }
                let count = (peers.len() + 1) as f64;
                values.iter_mut().zip(&sums).for_each(|(value, sum)| *value = (sum / count) as f32);
                for (index, peer) in peers.iter_mut().enumerate() {
                    send(peer, values, any).map_err(|error| gone(index + 1, &error))?;
                }
                Ok(any)
            }
            Self::Peer { hub, .. } => {
                let exchanged = send(hub, values, flag).and_then(|()| receive(hub, values.len()));
                let (mean, any) = exchanged.map_err(|error| gone(0, &error))?;
                values.copy_from_slice(&mean);
                Ok(any)
            }
        }
    }
}

/// Waits for all peers.
fn gather(address: &str, of: usize, token: u64) -> Result<Vec<TcpStream>> {
    let fault = |error: std::io::Error| Error::argument(address, format!("cannot listen: {error}"));
    let listener = TcpListener::bind(address).map_err(fault)?;
    listener.set_nonblocking(true).map_err(fault)?;
    let begun = Instant::now();
    let mut peers: Vec<Option<TcpStream>> = (1..of).map(|_| None).collect();
    while peers.iter().any(Option::is_none) {
        let Ok((stream, _)) = listener.accept() else {
            if begun.elapsed() > PATIENCE {
                let there = peers.iter().flatten().count();
                let what = format!("{there} of {} other processes came within five minutes", of - 1);
                return Err(
                    Error::argument(address, what).with_hint("start all ranks, each with its own --rank")
                );
            }
            std::thread::sleep(PAUSE);
            continue;
        };
        // Somebody who does not speak the protocol is not a peer, and no reason to stop.
        if let Ok((rank, stream)) = welcome(stream, of, token)
            && let Some(place) = peers.get_mut(rank - 1)
        {
            *place = Some(stream);
        }
    }
    Ok(peers.into_iter().flatten().collect())
}

/// Reads a peer's greeting and answers 1, or 0 if it is not one of this training.
fn welcome(mut stream: TcpStream, of: usize, token: u64) -> std::io::Result<(usize, TcpStream)> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut greeting = [0; 32];
    stream.read_exact(&mut greeting)?;
    let number = |part: usize| {
        greeting[part * 8..(part + 1) * 8].iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))
    };
    let (rank, theirs) = (number(1) as usize, number(2) as usize);
    let fits = greeting[..8] == MAGIC && theirs == of && (1..of).contains(&rank) && number(3) == token;
    stream.write_all(&[u8::from(fits)])?;
    if !fits {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    prepare(&stream)?;
    Ok((rank, stream))
}

/// Connects to rank 0.
fn greet(meeting: &Meeting, token: u64) -> Result<TcpStream> {
    let address = &meeting.address;
    let fault = |what: String| Error::argument(address, what);
    let begun = Instant::now();
    let connect = || {
        let mut addresses = address.to_socket_addrs()?;
        addresses
            .find_map(|address| TcpStream::connect(address).ok())
            .ok_or(std::io::ErrorKind::NotConnected.into())
    };
    let mut stream = loop {
        match connect() {
            Ok(stream) => break stream,
            Err(error) if begun.elapsed() > PATIENCE => {
                return Err(fault(format!("rank 0 cannot be reached: {error}"))
                    .with_hint("is rank 0 running there, and does the firewall let it through?"));
            }
            Err::<TcpStream, std::io::Error>(_) => std::thread::sleep(PAUSE),
        }
    };
    let mut greeting = Vec::from(MAGIC);
    for number in [meeting.rank as u64, meeting.of as u64, token] {
        greeting.extend_from_slice(&number.to_le_bytes());
    }
    let mut answer = [0];
    let talked = stream.write_all(&greeting).and_then(|()| stream.read_exact(&mut answer));
    talked
        .and_then(|()| prepare(&stream))
        .map_err(|error| fault(format!("rank 0 does not answer: {error}")))?;
    if answer != [1] {
        return Err(fault("rank 0 trains something else, or another number of processes".to_owned())
            .with_hint("give all ranks the same arguments but --rank, and the same step to resume from"));
    }
    Ok(stream)
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STEP_PATIENCE))?;
    stream.set_write_timeout(Some(STEP_PATIENCE))
}

/// A message: number of values, flag, values; little-endian.
fn send(stream: &mut TcpStream, values: &[f32], flag: bool) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(9 + values.len() * 4);
    bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
    bytes.push(u8::from(flag));
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    stream.write_all(&bytes)
}

fn receive(stream: &mut TcpStream, count: usize) -> std::io::Result<(Vec<f32>, bool)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    if head[..8] != (count as u64).to_le_bytes() {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; count * 4];
    stream.read_exact(&mut bytes)?;
    let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Ok((values.collect(), head[8] != 0))
}

fn gone(rank: usize, error: &std::io::Error) -> Error {
    Error::argument(format!("rank {rank}"), format!("has left the training: {error}"))
        .with_hint("start all ranks again with --resume: they go on from the last saved state")
}
