/** Serves the built app under /app/. */
import express, { Router } from 'express';
import { securityHeaders, type FrameOptions } from './security-headers.ts';

export type AppAssetsOptions = FrameOptions & {
  /** Where `vite build smart-app` wrote the app. */
  readonly folder: string;
};

export function appAssets({ folder, issuers }: AppAssetsOptions): Router {
  const router = Router();
  router.use(securityHeaders({ issuers }));
  router.use(
    express.static(folder, {
      index: 'index.html',
      fallthrough: true,
      setHeaders: (response, path) => {
        // Vite names assets by their content, so they never change; the page that names them does.
        const named = /[\\/]assets[\\/]/.test(path);
        response.setHeader('Cache-Control', named ? 'public, max-age=31536000, immutable' : 'no-cache');
      },
    }),
  );
  return router;
}
