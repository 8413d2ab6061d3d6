# syntax=docker/dockerfile:1

# Any image with Node.js 24 and npm will do, with glibc or with musl: better-sqlite3 brings a binary for either.
ARG BASE=node:24-alpine

FROM ${BASE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# No install scripts: the only one is of the development dependency `node`, which brings another Node.js.
RUN npm ci --ignore-scripts
COPY scripts ./scripts
COPY src ./src
# Of dist/ only what `npm run build:native` has made, if it did; without it the mirror copies what the system could send by
# itself. The other file is one that is there: no builder but BuildKit takes a COPY of nothing, and that one only of a
# directory that is there.
COPY package.json dis[t] ./dist/
# Not by `npm run`, which would put that other Node.js first.
RUN node scripts/build.ts
# What is left is not part of the bundle. Of better-sqlite3 the running image needs no sources, and no binaries for other
# systems.
RUN npm prune --omit=dev --ignore-scripts \
 && cd node_modules/better-sqlite3 \
 && rm -rf deps src \
 && find prebuilds -type f ! -name "linux*-$(node -p process.arch).node" -delete

FROM ${BASE}
LABEL org.opencontainers.image.title="Entrepôt" \
      org.opencontainers.image.description="A pull-through caching container registry mirror" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/entrepot
COPY LICENSE package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
# A volume that is empty takes over the owner of the directory that it covers. The number is that of no user on the
# host, and needs no entry in /etc/passwd.
RUN ln -s /opt/entrepot/dist/main.js /usr/local/bin/entrepot \
 && mkdir -p /var/lib/entrepot \
 && chown 65532:65532 /var/lib/entrepot
USER 65532:65532

# The admin listener is on every address here, for a container's loopback can be reached by nobody else, neither through
# a published port nor by a probe of Kubernetes. What is published decides who gets there: deploy/docker-compose.yml
# does so on the host's loopback only.
# The C library would keep the memory of buffers that slow clients have held; below this size it does not give it back.
# Small requests leave much garbage that is young: with 4 MiB for it instead of 16 they cost the same and take 20 MB less.
ENV NODE_ENV=production \
    NODE_OPTIONS=--max-semi-space-size=4 \
    MALLOC_MMAP_THRESHOLD_=131072 \
    ENTREPOT_DATA_DIR=/var/lib/entrepot \
    ENTREPOT_ADMIN_LISTEN=0.0.0.0:5001
VOLUME /var/lib/entrepot
EXPOSE 5000 5001
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["entrepot", "healthcheck"]
ENTRYPOINT ["entrepot"]
CMD ["serve"]
