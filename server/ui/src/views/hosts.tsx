import { Empty } from '../parts/notes';

export function Hosts() {
  return <Empty>Not built yet.</Empty>;
}
