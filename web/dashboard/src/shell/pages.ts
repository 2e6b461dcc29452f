import {
  IconActivity, IconAdjustments, IconAd2, IconArrowBarRight, IconBraces, IconChartBar, IconCoins, IconGauge, IconLogin2, IconSearch, type Icon,
} from '@tabler/icons-react'
import { type ComponentType, lazy } from 'react'

/** A PlannedPage is one entry of the navigation, or a page behind one. */
export interface PlannedPage {
  path: string
  title: string
  component: ComponentType
  /** Of an entry of the navigation. Pages without one are reached from others. */
  icon?: Icon
  /** What a member must be allowed to do, by the id of an operation of /v1, for the page to be of use. */
  needs?: string
  /** The second key of its shortcut, behind g. */
  key?: string
}

const page = (load: () => Promise<{ default: ComponentType }>) => lazy(load)

/** Every page with its place. The server knows the first parts of the paths: see web.go. */
export const pages: PlannedPage[] = [
  { path: '/', title: 'Overview', icon: IconGauge, key: 'o', needs: 'get-status', component: page(() => import('../pages/overview')) },
  { path: '/live', title: 'Live', icon: IconActivity, key: 'l', needs: 'follow-live', component: page(() => import('../pages/live')) },
  { path: '/search', title: 'Search', icon: IconSearch, key: 's', needs: 'search', component: page(() => import('../pages/search')) },
  { path: '/story/:id', title: 'Story', component: page(() => import('../pages/story')) },
  { path: '/sources/*', title: 'Sources', icon: IconLogin2, key: 'i', needs: 'list-sources', component: page(() => import('../pages/sources')) },
  { path: '/endpoints/*', title: 'Endpoints', icon: IconArrowBarRight, key: 'e', needs: 'list-endpoints', component: page(() => import('../pages/endpoints')) },
  { path: '/zones/*', title: 'Zones', icon: IconAd2, key: 'z', needs: 'list-zones', component: page(() => import('../pages/zones')) },
  { path: '/rewards/*', title: 'Rewards', icon: IconCoins, key: 'r', needs: 'list-rewards', component: page(() => import('../pages/rewards')) },
  { path: '/reports/*', title: 'Reports', icon: IconChartBar, key: 'p', needs: 'get-report', component: page(() => import('../pages/reports')) },
  { path: '/settings/*', title: 'Settings', icon: IconAdjustments, key: ',', component: page(() => import('../pages/settings')) },
  { path: '/api', title: 'API', icon: IconBraces, key: 'a', component: page(() => import('../pages/reference')) },
]
