//! A TCP port on 127.0.0.1 that stays ours.
//!
//! In: nothing. Out: a port number that nobody else is given while the value lives. Never listens
//! itself.
//!
//! A port that is looked up, closed and handed to a child can be taken in between. Here the port
//! stays bound, without listening, by a socket that shares it (`SO_REUSEPORT`): the kernel gives it
//! to nobody else, a listener that shares too can come and go, and while there is none a connection
//! is refused.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket};

/// A port on 127.0.0.1 that is kept, whether or not somebody listens on it.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _keeper: TcpSocket,
}

impl Port {
    /// Takes a free port.
    ///
    /// # Errors
    /// When the machine has none left.
    pub fn take() -> Result<Self> {
        let keeper = sharing_socket((Ipv4Addr::LOCALHOST, 0).into()).context("no free port on 127.0.0.1")?;
        let address = keeper.local_addr().context("a socket without an address")?;
        Ok(Self { address, _keeper: keeper })
    }

    /// The address, `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number alone.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.address.port()
    }

    /// Listens on the port, until the listener is dropped.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn listen(&self) -> Result<TcpListener> {
        let socket = sharing_socket(self.address).with_context(|| format!("cannot bind {}", self.address))?;
        socket.listen(1024).with_context(|| format!("cannot listen on {}", self.address))
    }
}

fn sharing_socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn refuses_unless_somebody_listens() {
        let port = Port::take().unwrap();
        let refused = TcpStream::connect(port.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        for _ in 0..3 {
            let listener = port.listen().unwrap();
            let (client, server) = tokio::join!(TcpStream::connect(port.address()), listener.accept());
            client.unwrap();
            server.unwrap();
            drop(listener);
            assert!(TcpStream::connect(port.address()).await.is_err());
        }
    }

    #[tokio::test]
    async fn is_given_to_nobody_else() {
        let ports: Vec<Port> = (0..500).map(|_| Port::take().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 500);
    }
}
