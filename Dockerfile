# syntax=docker/dockerfile:1

# Node 24 on Debian 13: its binary of uWebSockets.js needs glibc 2.38 (native-notes/uwebsockets.md).
FROM node:24-trixie-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
COPY scripts scripts
COPY native-notes native-notes
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build \
 && npm prune --omit=dev \
 && node scripts/strip-native.mjs

FROM node:24-trixie-slim
ENV NODE_ENV=production
WORKDIR /opt/sluice
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY LICENSE ./
RUN ln -s /opt/sluice/dist/main.js /usr/local/bin/sluice
USER node
WORKDIR /etc/sluice
EXPOSE 8080
# Asks where the admin port listens by default. A configuration that moves it sets SLUICE_ADMIN to its address.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://${process.env.SLUICE_ADMIN ?? '127.0.0.1:9080'}/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["sluice"]
CMD ["start", "-c", "/etc/sluice/sluice.yaml"]
