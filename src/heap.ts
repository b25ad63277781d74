/** How much may pile up between two collections of garbage. */
import { setFlagsFromString } from 'node:v8';

/**
 * A picture's pixels lie outside V8's heap, yet count towards its limit, which follows the 20 MB that live inside: each
 * film brought two or three full collections, each 35 ms of a core and up to 50 ms in which no card was answered
 * (--trace-gc; a film took half as long again). With a limit of five times what lives, one comes every few films.
 */
export const leaveRoomForPictures = (): void => setFlagsFromString('--heap-growing-percent=400');
