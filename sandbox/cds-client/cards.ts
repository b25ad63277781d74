/** Cards as a CDS service sends them (CDS Hooks 2.0.1); the page gets them as they are. */
export type Coding = { readonly code: string; readonly system?: string; readonly display?: string };

export type CardLink = {
  readonly label: string;
  readonly url: string;
  readonly type: 'absolute' | 'smart';
  readonly appContext?: string;
};

export type Card = {
  readonly uuid?: string;
  readonly summary: string;
  readonly indicator: 'info' | 'warning' | 'critical';
  readonly detail?: string;
  readonly source: { readonly label: string; readonly url?: string; readonly icon?: string };
  readonly links?: readonly CardLink[];
  readonly overrideReasons?: readonly Coding[];
  readonly suggestions?: readonly {
    readonly uuid?: string;
    readonly label: string;
    readonly isRecommended?: boolean;
    readonly actions?: readonly {
      readonly type: 'create' | 'update' | 'delete';
      readonly description: string;
      readonly resource?: { readonly resourceType: string };
    }[];
  }[];
  readonly selectionBehavior?: 'at-most-one' | 'any';
};

/** What one service answered; a service that fails is named, never silently left out. */
export type ServiceAnswer = {
  readonly service: string;
  readonly title: string;
  readonly cards: readonly Card[];
  readonly problem?: string;
};
