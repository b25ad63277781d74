/** Why an object was not kept, in the codes that C-STORE (PS3.4 B.2.3, PS3.7 C) and STOW-RS (PS3.18 I.2.2) share. */
import type { ErrorCode } from '../domain/errors.ts';

export const failureReason = {
  notAuthorized: 0x0124,
  processingFailure: 0x0110,
  duplicate: 0x0111,
  classNotSupported: 0x0122,
  outOfResources: 0xa700,
  doesNotMatch: 0xa900,
  cannotUnderstand: 0xc000,
} as const;

export function failureReasonOf(code: ErrorCode): number {
  switch (code) {
    case 'inbox.full':
    case 'inbox.study-too-large':
    case 'dicom.too-large':
    case 'store.unreachable':
      return failureReason.outOfResources;
    case 'inbox.conflict':
      return failureReason.duplicate;
    case 'inbox.other-object':
    case 'inbox.other-patient':
      return failureReason.doesNotMatch;
    default:
      return code.startsWith('dicom.') ? failureReason.cannotUnderstand : failureReason.processingFailure;
  }
}
