# syntax=docker/dockerfile:1

FROM docker.io/library/rust:1.95.0-slim-bookworm AS build
# The image brings this toolchain; without this, rust-toolchain.toml would fetch rustfmt and clippy as well.
ENV RUSTUP_TOOLCHAIN=1.95.0
# Debian removes old versions of a package from its mirrors, so a pinned one would stop to build; what it adds is a linker's wrapper.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --target "$(uname -m)-unknown-linux-musl" --bin ingress-diagnosis \
    && install -D "target/$(uname -m)-unknown-linux-musl/release/ingress-diagnosis" /out/ingress-diagnosis

# Nothing but CA certificates, which Google's APIs need, and a user that is not root.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/ingress-diagnosis /ingress-diagnosis
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/ingress-diagnosis"]
